"""The chat completions of the `openai` package for Python."""

import json
import os
import unittest
import uuid

import openai
from openai import OpenAI
from pydantic import BaseModel

ADDRESS = "http://127.0.0.1:8080/v1"
TOKEN = os.environ["INGRAM_TOKEN"]

client = OpenAI(
    base_url="http://127.0.0.1:8080/v1",
    api_key=TOKEN,
)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

# One pixel.
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


class Invoice(BaseModel):
    customer: str
    items: list[str]
    total: float


def user(content):
    return {"role": "user", "content": content}


def thread():
    """Keeps the history on the server, on a thread of its own."""
    return {"IC-Thread-Id": f"python-{uuid.uuid4()}"}


def counting(statuses):
    """A client that notes the status of every answer, those that it repeats included."""
    http = openai.DefaultHttpx2Client(event_hooks={"response": [lambda answer: statuses.append(answer.status_code)]})
    return OpenAI(base_url=ADDRESS, api_key=TOKEN, http_client=http)


class Replies(unittest.TestCase):
    def test_a_reply(self):
        completion = client.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": "Say hello."}],
        )
        answer = completion.choices[0].message.content
        self.assertEqual(answer, "Hello, how can I help?")
        self.assertTrue(completion.id.startswith("run_"))
        self.assertEqual(completion.object, "chat.completion")
        self.assertEqual(completion.model, "scripted/clients")
        self.assertEqual(completion.choices[0].finish_reason, "stop")
        self.assertIsNone(completion.choices[0].message.tool_calls)
        self.assertEqual(
            completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens
        )

    def test_a_streamed_reply(self):
        stream = client.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": "Say hello."}],
            stream=True,
        )
        answer = ""
        for chunk in stream:
            answer += chunk.choices[0].delta.content or ""
        self.assertEqual(answer, "Hello, how can I help?")

    def test_the_last_chunks_tell_why_it_ended_and_what_it_cost(self):
        stream = client.chat.completions.create(
            model="", messages=[user("Say hello.")], stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        reasons = [chunk.choices[0].finish_reason for chunk in chunks[:-1]]
        self.assertEqual(reasons[-1], "stop")
        self.assertEqual(set(reasons[:-1]), {None})
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_the_accumulated_stream(self):
        with client.chat.completions.stream(model="", messages=[user("Say hello.")]) as stream:
            told = [event.type for event in stream]
            completion = stream.get_final_completion()
        self.assertIn("content.delta", told)
        self.assertIn("content.done", told)
        self.assertEqual(completion.choices[0].message.content, "Hello, how can I help?")

    def test_a_system_message_is_added_to_the_instructions(self):
        for role in ["system", "developer"]:
            completion = client.chat.completions.create(
                model="", messages=[{"role": role, "content": "Answer in French."}, user("Say hello.")]
            )
            self.assertTrue(completion.choices[0].message.content.startswith("Bonjour"))

    def test_the_history_of_the_request(self):
        completion = client.chat.completions.create(
            model="",
            messages=[
                user("My name is Ada."),
                {"role": "assistant", "content": "Nice to meet you, Ada."},
                user("What is my name?"),
            ],
        )
        self.assertEqual(completion.choices[0].message.content, "Your name is Ada.")

    def test_the_history_of_a_thread(self):
        headers = thread()
        client.chat.completions.create(model="", messages=[user("My name is Grace.")], extra_headers=headers)
        completion = client.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": "What is my name?"}],
            extra_headers=headers,
        )
        self.assertEqual(completion.choices[0].message.content, "Your name is Grace.")

    def test_an_image(self):
        completion = client.chat.completions.create(
            model="",
            messages=[
                user([
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": PICTURE}},
                ])
            ],
        )
        self.assertEqual(completion.choices[0].message.content, "I see 1 of them.")

    def test_the_reasons_to_stop(self):
        for said, reason in [("This is too long.", "length"), ("Say something forbidden.", "content_filter")]:
            completion = client.chat.completions.create(model="", messages=[user(said)])
            self.assertEqual(completion.choices[0].finish_reason, reason)


class Tools(unittest.TestCase):
    def test_a_tool_of_the_client(self):
        messages = [{"role": "user", "content": "What is the weather in Paris?"}]
        completion = client.chat.completions.create(model="", messages=messages, tools=[WEATHER])
        message = completion.choices[0].message
        self.assertEqual(completion.choices[0].finish_reason, "tool_calls")
        self.assertEqual(message.tool_calls[0].function.name, "get_weather")
        self.assertEqual(json.loads(message.tool_calls[0].function.arguments), {"city": "Paris"})
        messages.append(message)
        for call in message.tool_calls:
            result = json.dumps({"celsius": 21})
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        completion = client.chat.completions.create(model="", messages=messages, tools=[WEATHER])
        self.assertEqual(completion.choices[0].message.content, "It is 21 degrees.")

    def test_parallel_calls_in_a_stream(self):
        messages = [user("What is the weather in Paris and Rome?")]
        with client.chat.completions.stream(model="", messages=messages, tools=[WEATHER]) as stream:
            done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
            message = stream.get_final_completion().choices[0].message
        self.assertEqual([json.loads(event.arguments)["city"] for event in done], ["Paris", "Rome"])
        calls = message.tool_calls
        self.assertEqual(len({call.id for call in calls}), 2)
        self.assertEqual([json.loads(call.function.arguments)["city"] for call in calls], ["Paris", "Rome"])
        messages.append(message)
        for call, degrees in zip(calls, [21, 30]):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"celsius": degrees})})
        completion = client.chat.completions.create(model="", messages=messages, tools=[WEATHER])
        self.assertEqual(completion.choices[0].message.content, "It is 30 degrees.")

    def test_a_tool_of_the_client_on_a_thread(self):
        headers = thread()
        completion = client.chat.completions.create(
            model="", messages=[user("What is the weather in Oslo?")], tools=[WEATHER], extra_headers=headers
        )
        call = completion.choices[0].message.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": -3}'}
        completion = client.chat.completions.create(
            model="", messages=[result], tools=[WEATHER], extra_headers=headers
        )
        self.assertEqual(completion.choices[0].message.content, "It is -3 degrees.")

    def test_the_choice_of_a_tool(self):
        def called(choice):
            completion = client.chat.completions.create(
                model="", messages=[user("Say hello.")], tools=[WEATHER], tool_choice=choice
            )
            return [call.function.name for call in completion.choices[0].message.tool_calls or []]

        self.assertEqual(called("auto"), [])
        self.assertEqual(called("none"), [])
        self.assertEqual(called("required"), ["get_weather"])
        self.assertEqual(called({"type": "function", "function": {"name": "get_weather"}}), ["get_weather"])
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            called({"type": "function", "function": {"name": "no_such_tool"}})
        self.assertEqual(caught.exception.code, "invalid_tool_choice")


class Structured(unittest.TestCase):
    def test_a_structured_answer(self):
        completion = client.chat.completions.parse(
            model="",
            messages=[{"role": "user", "content": "Write an invoice for Ada."}],
            response_format=Invoice,
        )
        invoice = completion.choices[0].message.parsed
        self.assertEqual(invoice, Invoice(customer="Ada", items=["paper", "ink"], total=12.5))

    def test_a_structured_answer_in_a_stream(self):
        with client.chat.completions.stream(
            model="", messages=[user("Write an invoice for Ada.")], response_format=Invoice
        ) as stream:
            invoice = stream.get_final_completion().choices[0].message.parsed
        self.assertEqual(invoice.customer, "Ada")

    def test_any_json(self):
        completion = client.chat.completions.create(
            model="", messages=[user("Write an invoice for Ada.")], response_format={"type": "json_object"}
        )
        self.assertEqual(json.loads(completion.choices[0].message.content)["customer"], "Ada")


class Approvals(unittest.TestCase):
    """Tools that the server carries out, once a human agrees."""

    def refund(self, **more):
        messages = [{"role": "user", "content": "Refund order 12."}]
        completion = client.chat.completions.create(model="", messages=messages, **more)
        self.assertEqual(completion.choices[0].finish_reason, "tool_calls")
        message = completion.choices[0].message
        self.assertEqual(message.content, "I will refund order 12. ")
        call = message.tool_calls[0]
        self.assertTrue(call.id.startswith(f"{completion.id}::"))
        self.assertEqual((call.function.name, json.loads(call.function.arguments)), ("refund", {"order": 12}))
        return completion, messages + [message]

    def test_an_approval(self):
        paused, messages = self.refund()
        call = messages[-1].tool_calls[0]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "approve"})
        completion = client.chat.completions.create(model="", messages=messages)
        self.assertEqual(completion.id, paused.id)
        self.assertEqual(completion.choices[0].finish_reason, "stop")
        self.assertTrue(completion.choices[0].message.content.endswith("Order refunded."))
        # The same once more is a retry and gets the same answer, the opposite is refused.
        again = client.chat.completions.create(model="", messages=messages)
        self.assertEqual(again.choices[0].message.content, completion.choices[0].message.content)
        with self.assertRaises(openai.ConflictError) as caught:
            client.chat.completions.create(model="", messages=messages[:-1] + [{**messages[-1], "content": "reject"}])
        self.assertEqual(caught.exception.code, "run_not_paused")

    def test_an_approval_in_a_stream(self):
        with client.chat.completions.stream(model="", messages=[user("Refund order 12.")]) as stream:
            paused = stream.get_final_completion()
        message = paused.choices[0].message
        call = message.tool_calls[0]
        answer = {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"decision": "approve"})}
        messages = [user("Refund order 12."), message, answer]
        with client.chat.completions.stream(model="", messages=messages) as stream:
            completion = stream.get_final_completion()
        self.assertEqual(completion.id, paused.id)
        self.assertTrue(completion.choices[0].message.content.endswith("Order refunded."))

    def test_a_rejection(self):
        paused, messages = self.refund()
        call = messages[-1].tool_calls[0]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "reject"})
        completion = client.chat.completions.create(model="", messages=messages)
        self.assertEqual(completion.id, paused.id)
        self.assertEqual(completion.choices[0].finish_reason, "stop")

    def test_the_talk_goes_on_after_an_approval(self):
        _, messages = self.refund()
        call = messages[-1].tool_calls[0]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "approve"})
        messages.append(client.chat.completions.create(model="", messages=messages).choices[0].message)
        messages.append(user("Say hello."))
        completion = client.chat.completions.create(model="", messages=messages)
        self.assertEqual(completion.choices[0].message.content, "Hello, how can I help?")

    def test_what_is_no_decision_is_refused(self):
        _, messages = self.refund()
        call = messages[-1].tool_calls[0]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "perhaps"})
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            client.chat.completions.create(model="", messages=messages)
        self.assertEqual(caught.exception.code, "invalid_decision")

    def test_a_thread_that_waits_takes_no_turn_and_is_not_asked_again(self):
        headers = thread()
        self.refund(extra_headers=headers)
        statuses = []
        with self.assertRaises(openai.ConflictError) as caught:
            counting(statuses).chat.completions.create(
                model="", messages=[user("Say hello.")], extra_headers=headers
            )
        self.assertEqual(caught.exception.code, "conversation_locked")
        self.assertEqual(statuses, [409])


class External(unittest.TestCase):
    def test_a_tool_that_the_project_carries_out(self):
        messages = [user("Please read the meter.")]
        completion = client.chat.completions.create(model="", messages=messages)
        message = completion.choices[0].message
        self.assertEqual(message.tool_calls[0].function.name, "read_meter")
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"kwh": 42}'}
        completion = client.chat.completions.create(model="", messages=messages + [message, result])
        self.assertEqual(completion.choices[0].message.content, "The meter shows 42 kWh.")


class Persons(unittest.TestCase):
    """A token of the project names the person for whom it speaks."""

    def setUp(self):
        self.project = OpenAI(base_url=ADDRESS, api_key=os.environ["INGRAM_PROJECT_TOKEN"])

    def test_user(self):
        completion = self.project.chat.completions.create(
            model="scripted/clients",
            messages=[{"role": "user", "content": "Say hello."}],
            user="user_42",
        )
        self.assertEqual(completion.choices[0].message.content, "Hello, how can I help?")

    def test_the_id_of_a_smith(self):
        completion = self.project.chat.completions.create(
            model="",
            messages=[user("Say hello.")],
            extra_headers={"IC-Smith-Id": os.environ["INGRAM_SMITH_ID"]},
        )
        self.assertEqual(completion.model, "scripted/clients")

    def test_nobody(self):
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            self.project.chat.completions.create(model="", messages=[user("Say hello.")])
        self.assertEqual(caught.exception.code, "smith_required")

    def test_somebody_else(self):
        with self.assertRaises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(
                model="", messages=[user("Say hello.")], extra_headers={"IC-Smith-Id": "smt_11111111111111111111zz"}
            )
        self.assertEqual(caught.exception.code, "smith_mismatch")


class Errors(unittest.TestCase):
    def test_a_token_that_is_none(self):
        stranger = OpenAI(base_url=ADDRESS, api_key="thp_live_nonsense")
        with self.assertRaises(openai.AuthenticationError) as caught:
            stranger.chat.completions.create(model="", messages=[user("Say hello.")])
        self.assertEqual(caught.exception.code, "unauthenticated")
        self.assertTrue(caught.exception.request_id.startswith("req_"))

    def test_a_model_of_nobody(self):
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            client.chat.completions.create(model="no-such-model", messages=[user("Say hello.")])
        self.assertEqual(caught.exception.code, "unknown_provider")

    def test_several_choices(self):
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            client.chat.completions.create(model="", messages=[user("Say hello.")], n=2)
        self.assertEqual((caught.exception.code, caught.exception.param), ("invalid_input", "n"))
        self.assertEqual(caught.exception.type, "invalid_request_error")

    def test_a_failed_run_is_not_repeated(self):
        statuses = []
        with self.assertRaises(openai.InternalServerError) as caught:
            counting(statuses).chat.completions.create(model="", messages=[user("Please be unavailable.")])
        self.assertEqual((caught.exception.status_code, caught.exception.code), (502, "model_request_failed"))
        self.assertEqual(statuses, [502])

    def test_a_failure_in_the_middle_of_a_stream(self):
        stream = client.chat.completions.create(model="", messages=[user("Please break off.")], stream=True)
        answer = ""
        with self.assertRaises(openai.APIError) as caught:
            for chunk in stream:
                answer += chunk.choices[0].delta.content or ""
        self.assertTrue(answer.startswith("I begin"))
        self.assertEqual(caught.exception.code, "model_request_failed")


class Disconnects(unittest.TestCase):
    def leave(self, **more):
        """Reads a little of a stream, leaves, and returns the id of the run."""
        stream = client.chat.completions.create(stream=True, model="", **more)
        for chunk in stream:
            if chunk.choices[0].delta.content:
                stream.close()
                return chunk.id

    def rest(self, run):
        """Follows a run to its end."""
        for _ in client.responses.retrieve(run, stream=True):
            pass
        return client.responses.retrieve(run)

    def test_who_leaves_a_stream_cancels_the_run(self):
        run = self.leave(messages=[user("Please talk for a minute.")])
        self.assertEqual(self.rest(run).status, "cancelled")

    def test_a_run_with_a_key_goes_on_without_its_reader(self):
        run = self.leave(messages=[user("Count to twenty.")], extra_headers={"Idempotency-Key": str(uuid.uuid4())})
        response = self.rest(run)
        self.assertEqual(response.status, "completed")
        self.assertTrue(response.output_text.endswith("19 20"))

    def test_the_same_key_gets_the_same_answer(self):
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        def say():
            return client.chat.completions.create(model="", messages=[user("Say hello.")], extra_headers=headers)
        self.assertEqual(say().id, say().id)
        with self.assertRaises(openai.ConflictError) as caught:
            client.chat.completions.create(model="", messages=[user("Count to twenty.")], extra_headers=headers)
        self.assertEqual(caught.exception.code, "idempotency_key_reused")


class Models(unittest.TestCase):
    def test_the_list(self):
        listed = [model.id for model in client.models.list()]
        self.assertIn("scripted/clients", listed)
        self.assertEqual(client.models.retrieve("scripted/clients").object, "model")

    def test_what_is_not_listed(self):
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve("no-such-model")


if __name__ == "__main__":
    unittest.main()
