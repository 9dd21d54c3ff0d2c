"""What the `openai` package for Python does when the server is busy."""

import os
import unittest
import uuid

import openai
from openai import OpenAI

ADDRESS = "http://127.0.0.1:8080/v1"
TOKEN = os.environ["INGRAM_TOKEN"]

client = OpenAI(base_url=ADDRESS, api_key=TOKEN)


class Busy(unittest.TestCase):
    """The server of this program runs two runs at once, and lets one wait on a thread."""

    def setUp(self):
        self.statuses = []
        note = openai.DefaultHttpx2Client(
            event_hooks={"response": [lambda answer: self.statuses.append(answer.status_code)]}
        )
        self.patient = OpenAI(base_url=ADDRESS, api_key=TOKEN, http_client=note, max_retries=10)

    def start(self, thread):
        """Begins a run that takes a moment, and does not wait for it."""
        messages = [{"role": "user", "content": "Count to twenty."}]
        headers = {"IC-Thread-Id": thread}
        return client.chat.completions.create(model="", messages=messages, stream=True, extra_headers=headers)

    def say_hello(self, thread):
        messages = [{"role": "user", "content": "Say hello."}]
        completion = self.patient.chat.completions.create(
            model="", messages=messages, extra_headers={"IC-Thread-Id": thread}
        )
        self.assertEqual(completion.choices[0].message.content, "Hello, how can I help?")

    def test_a_full_thread_is_tried_again(self):
        thread = f"full-{uuid.uuid4()}"
        with self.start(thread), self.start(thread):
            self.say_hello(thread)
        self.assertEqual(set(self.statuses[:-1]), {429})
        self.assertEqual(self.statuses[-1], 200)

    def test_a_full_server_is_tried_again(self):
        one, other = self.start(f"one-{uuid.uuid4()}"), self.start(f"other-{uuid.uuid4()}")
        with one, other:
            next(one), next(other)
            self.say_hello(f"third-{uuid.uuid4()}")
        self.assertEqual(set(self.statuses[:-1]), {503})
        self.assertEqual(self.statuses[-1], 200)


if __name__ == "__main__":
    unittest.main()
