"""The responses and conversations of the `openai` package for Python."""

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
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
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


def counting(statuses):
    """A client that notes the status of every answer, those that it repeats included."""
    http = openai.DefaultHttpx2Client(event_hooks={"response": [lambda answer: statuses.append(answer.status_code)]})
    return OpenAI(base_url=ADDRESS, api_key=TOKEN, http_client=http)


def rest(response_id):
    """Follows a response to its end."""
    try:
        for _ in client.responses.retrieve(response_id, stream=True):
            pass
    except openai.APIError:
        # One that failed, or was cancelled before it said a word. What it came to is in it.
        pass
    return client.responses.retrieve(response_id)


class Replies(unittest.TestCase):
    def test_a_reply(self):
        response = client.responses.create(
            model="",
            input="Say hello.",
        )
        answer = response.output_text
        self.assertEqual(answer, "Hello, how can I help?")
        self.assertTrue(response.id.startswith("run_"))
        self.assertEqual((response.object, response.status), ("response", "completed"))
        self.assertEqual(response.model, "scripted/clients")
        self.assertEqual([item.type for item in response.output], ["message"])
        self.assertEqual((response.error, response.incomplete_details), (None, None))
        self.assertEqual(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens)
        self.assertEqual(client.responses.retrieve(response.id).to_dict(), response.to_dict())

    def test_a_streamed_reply(self):
        stream = client.responses.create(
            model="",
            input="Say hello.",
            stream=True,
        )
        answer = ""
        for event in stream:
            if event.type == "response.output_text.delta":
                answer += event.delta
        self.assertEqual(answer, "Hello, how can I help?")

    def test_the_events_of_a_reply(self):
        events = list(client.responses.create(model="", input="Say hello.", stream=True))
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        kinds = [event.type.removeprefix("response.") for event in events]
        once = [kind for place, kind in enumerate(kinds) if kind != "output_text.delta" or kinds[place - 1] != kind]
        self.assertEqual(
            once,
            [
                "created",
                "in_progress",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "completed",
            ],
        )
        whole = events[-1].response
        self.assertEqual(client.responses.retrieve(whole.id).to_dict(), whole.to_dict())

    def test_the_accumulated_stream(self):
        with client.responses.stream(model="", input="Say hello.") as stream:
            snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
            response = stream.get_final_response()
        self.assertEqual(snapshots[-1], "Hello, how can I help?")
        self.assertEqual(response.output_text, "Hello, how can I help?")

    def test_instructions_are_added_to_those_of_the_agent(self):
        response = client.responses.create(model="", instructions="Answer in French.", input="Say hello.")
        self.assertTrue(response.output_text.startswith("Bonjour"))
        self.assertEqual(response.instructions, "Answer in French.")
        response = client.responses.create(
            model="",
            input=[{"role": "developer", "content": "Answer in French."}, {"role": "user", "content": "Say hello."}],
        )
        self.assertTrue(response.output_text.startswith("Bonjour"))

    def test_an_image(self):
        content = [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
        ]
        response = client.responses.create(model="", input=[{"role": "user", "content": content}])
        self.assertEqual(response.output_text, "I see 1 of them.")

    def test_a_summary_of_the_reasoning(self):
        with client.responses.stream(model="", input="Think about it.") as stream:
            kinds = {event.type for event in stream}
            response = stream.get_final_response()
        self.assertIn("response.reasoning_summary_text.delta", kinds)
        reasoning, message = response.output
        self.assertEqual(reasoning.summary[0].text, "The answer is in the question.")
        self.assertEqual(message.content[0].text, "I have thought about it.")

    def test_an_answer_that_is_cut(self):
        for said, reason in [("This is too long.", "max_output_tokens"), ("Say something forbidden.", "content_filter")]:
            response = client.responses.create(model="", input=said)
            self.assertEqual((response.status, response.incomplete_details.reason), ("incomplete", reason))
            last = list(client.responses.create(model="", input=said, stream=True))[-1]
            self.assertEqual((last.type, last.response.status), ("response.incomplete", "incomplete"))


class Turns(unittest.TestCase):
    def test_the_history_of_the_request(self):
        history = [{"role": "user", "content": "My name is Ada."}]
        history += client.responses.create(model="", input=history).output
        history += [{"role": "user", "content": "What is my name?"}]
        self.assertEqual(client.responses.create(model="", input=history).output_text, "Your name is Ada.")

    def test_the_response_before(self):
        first = client.responses.create(model="", input="My name is Grace.")
        second = client.responses.create(
            model="",
            input="What is my name?",
            previous_response_id=first.id,
        )
        self.assertEqual(second.output_text, "Your name is Grace.")
        self.assertEqual(second.previous_response_id, first.id)
        # An older one begins another branch.
        client.responses.create(model="", input="My name is Hedy.", previous_response_id=second.id)
        branch = client.responses.create(model="", input="What is my name?", previous_response_id=first.id)
        self.assertEqual(branch.output_text, "Your name is Grace.")

    def test_a_conversation(self):
        conversation = client.conversations.create()
        client.responses.create(model="", input="My name is Linus.", conversation=conversation.id)
        response = client.responses.create(
            model="",
            input="What is my name?",
            conversation=conversation.id,
        )
        self.assertEqual(response.output_text, "Your name is Linus.")
        self.assertEqual(response.conversation.id, conversation.id)
        items = list(client.conversations.items.list(conversation.id, order="asc"))
        self.assertEqual([item.role for item in items], ["user", "assistant", "user", "assistant"])
        self.assertEqual(items[-1].id, response.output[0].id)
        changed = client.conversations.update(conversation.id, metadata={"topic": "names"})
        self.assertEqual(changed.metadata, {"topic": "names"})
        self.assertTrue(client.conversations.delete(conversation.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            client.conversations.retrieve(conversation.id)

    def test_an_item_that_is_named(self):
        first = client.responses.create(model="", input="My name is Alan.")
        response = client.responses.create(
            model="",
            input=[
                {"role": "user", "content": "My name is Alan."},
                {"type": "item_reference", "id": first.output[0].id},
                {"role": "user", "content": "What is my name?"},
            ],
        )
        self.assertEqual(response.output_text, "Your name is Alan.")
        with self.assertRaises(openai.NotFoundError):
            client.responses.create(model="", input=[{"type": "item_reference", "id": "msg_11111111111111111111zz"}])


class Tools(unittest.TestCase):
    def test_a_tool_of_the_client(self):
        history = [{"role": "user", "content": "What is the weather in Paris?"}]
        response = client.responses.create(model="", input=history, tools=[WEATHER])
        history += response.output
        for item in response.output:
            if item.type == "function_call":
                self.assertEqual((item.name, json.loads(item.arguments)), ("get_weather", {"city": "Paris"}))
                result = json.dumps({"celsius": 21})
                history.append({"type": "function_call_output", "call_id": item.call_id, "output": result})
        response = client.responses.create(model="", input=history, tools=[WEATHER])
        self.assertEqual(response.output_text, "It is 21 degrees.")

    def test_parallel_calls_in_a_stream(self):
        with client.responses.stream(
            model="", input="What is the weather in Paris and Rome?", tools=[WEATHER]
        ) as stream:
            arguments = [event.snapshot for event in stream if event.type == "response.function_call_arguments.delta"]
            first = stream.get_final_response()
        calls = [item for item in first.output if item.type == "function_call"]
        self.assertEqual([json.loads(call.arguments)["city"] for call in calls], ["Paris", "Rome"])
        self.assertEqual({call.status for call in calls}, {"completed"})
        self.assertIn(calls[0].arguments, arguments)
        outputs = [
            {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps({"celsius": degrees})}
            for call, degrees in zip(calls, [21, 30])
        ]
        response = client.responses.create(model="", input=outputs, previous_response_id=first.id, tools=[WEATHER])
        self.assertEqual(response.output_text, "It is 30 degrees.")

    def test_the_choice_of_a_tool(self):
        def called(choice):
            response = client.responses.create(model="", input="Say hello.", tools=[WEATHER], tool_choice=choice)
            return [item.name for item in response.output if item.type == "function_call"]

        self.assertEqual(called("auto"), [])
        self.assertEqual(called("none"), [])
        self.assertEqual(called("required"), ["get_weather"])
        self.assertEqual(called({"type": "function", "name": "get_weather"}), ["get_weather"])
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            called({"type": "function", "name": "no_such_tool"})
        self.assertEqual(caught.exception.code, "invalid_tool_choice")

    def test_a_kind_of_tool_that_is_not_there(self):
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            client.responses.create(model="", input="Say hello.", tools=[{"type": "image_generation"}])
        self.assertEqual(caught.exception.code, "unsupported_tools")


class Structured(unittest.TestCase):
    def test_a_structured_answer(self):
        response = client.responses.parse(
            model="",
            input="Write an invoice for Ada.",
            text_format=Invoice,
        )
        invoice = response.output_parsed
        self.assertEqual(invoice, Invoice(customer="Ada", items=["paper", "ink"], total=12.5))
        self.assertEqual((response.text.format.type, response.text.format.name), ("json_schema", "Invoice"))

    def test_a_structured_answer_in_a_stream(self):
        with client.responses.stream(model="", input="Write an invoice for Ada.", text_format=Invoice) as stream:
            invoice = stream.get_final_response().output_parsed
        self.assertEqual(invoice.customer, "Ada")


class Approvals(unittest.TestCase):
    """Tools that the server carries out, once a human agrees."""

    def refund(self):
        response = client.responses.create(model="", input="Refund order 12.")
        self.assertEqual(response.status, "completed")
        message, request = response.output
        self.assertEqual((message.type, message.content[0].text), ("message", "I will refund order 12. "))
        self.assertEqual((request.type, request.name), ("mcp_approval_request", "refund"))
        self.assertTrue(request.id.startswith(f"{response.id}::"))
        self.assertEqual((request.server_label, json.loads(request.arguments)), ("webhook", {"order": 12}))
        return response, request

    def test_an_approval(self):
        paused, request = self.refund()
        response = client.responses.create(
            model="",
            input=[{"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}],
        )
        self.assertEqual(response.id, paused.id)
        self.assertEqual([item.type for item in response.output], ["mcp_call", "message"])
        call = response.output[0]
        self.assertEqual((call.name, call.server_label, call.status), ("refund", "webhook", "completed"))
        self.assertEqual((json.loads(call.output), call.error), ({"ok": True}, None))
        self.assertEqual(call.approval_request_id, request.id)
        self.assertEqual(response.output_text, "Order refunded.")
        whole = client.responses.retrieve(response.id)
        self.assertEqual(
            [item.type for item in whole.output], ["message", "mcp_approval_request", "mcp_call", "message"]
        )

    def test_an_approval_in_streams(self):
        with client.responses.stream(model="", input="Refund order 12.") as stream:
            paused = stream.get_final_response()
            last = max(event.sequence_number for event in client.responses.retrieve(paused.id, stream=True))
        request = paused.output[-1]
        decision = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
        with client.responses.stream(model="", input=[decision], previous_response_id=paused.id) as stream:
            events = list(stream)
            response = stream.get_final_response()
        self.assertEqual(events[0].sequence_number, last + 1)
        self.assertEqual(response.id, paused.id)
        self.assertEqual(response.output_text, "Order refunded.")
        # The whole of it, over the pause, is one stream too.
        with client.responses.stream(response_id=paused.id) as stream:
            numbers = [event.sequence_number for event in stream]
        self.assertEqual(numbers, list(range(events[-1].sequence_number + 1)))

    def test_a_rejection(self):
        paused, request = self.refund()
        decision = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": False}
        response = client.responses.create(model="", input=[decision])
        self.assertEqual((response.id, response.status), (paused.id, "completed"))
        self.assertNotIn("mcp_call", [item.type for item in client.responses.retrieve(paused.id).output])
        with self.assertRaises(openai.ConflictError) as caught:
            client.responses.create(model="", input=[{**decision, "approve": True}])
        self.assertEqual(caught.exception.code, "run_not_paused")

    def test_the_talk_goes_on_with_the_whole_history(self):
        history = [{"role": "user", "content": "Refund order 12."}]
        history += client.responses.create(model="", input=history).output
        history.append(
            {"type": "mcp_approval_response", "approval_request_id": history[-1].id, "approve": True}
        )
        history += client.responses.create(model="", input=history).output
        history.append({"role": "user", "content": "Say hello."})
        response = client.responses.create(model="", input=history)
        self.assertEqual(response.output_text, "Hello, how can I help?")

    def test_a_conversation_that_waits_takes_no_turn_and_is_not_asked_again(self):
        conversation = client.conversations.create()
        client.responses.create(model="", input="Refund order 12.", conversation=conversation.id)
        statuses = []
        with self.assertRaises(openai.ConflictError) as caught:
            counting(statuses).responses.create(model="", input="Say hello.", conversation=conversation.id)
        self.assertEqual(caught.exception.code, "conversation_locked")
        self.assertEqual(statuses, [409])


class Servers(unittest.TestCase):
    """MCP servers that a request brings along."""

    def lookup(self, **more):
        tool = {
            "type": "mcp",
            "server_label": "dictionary",
            "server_url": os.environ["INGRAM_MCP_URL"],
            "require_approval": "never",
        }
        return client.responses.create(model="", input="Please look up ingram.", tools=[{**tool, **more}])

    def test_a_call_of_its_tool(self):
        response = self.lookup()
        self.assertEqual([item.type for item in response.output], ["mcp_call", "message"])
        call = response.output[0]
        self.assertEqual((call.server_label, call.name, call.output), ("dictionary", "lookup", "a surname"))
        self.assertEqual(response.output_text, "The lookup says: a surname")

    def test_a_call_of_its_tool_that_wants_an_approval(self):
        paused = self.lookup(require_approval="always")
        request = paused.output[-1]
        self.assertEqual((request.type, request.server_label), ("mcp_approval_request", "dictionary"))
        response = client.responses.create(
            model="",
            input=[{"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}],
        )
        self.assertEqual(response.output_text, "The lookup says: a surname")


class External(unittest.TestCase):
    def test_a_tool_that_the_project_carries_out(self):
        paused = client.responses.create(model="", input="Please read the meter.")
        call = paused.output[-1]
        self.assertEqual((call.type, call.name), ("function_call", "read_meter"))
        output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"kwh": 42}'}
        response = client.responses.create(model="", input=[output], previous_response_id=paused.id)
        self.assertEqual(response.output_text, "The meter shows 42 kWh.")


class Background(unittest.TestCase):
    def test_an_answer_in_the_background(self):
        response = client.responses.create(model="", input="Count to twenty.", background=True)
        self.assertIn(response.status, ["queued", "in_progress"])
        self.assertTrue(response.background)
        self.assertEqual(rest(response.id).status, "completed")

    def test_a_cancelled_one(self):
        response = client.responses.create(model="", input="Please talk for a minute.", background=True)
        self.assertEqual(client.responses.cancel(response.id).status, "cancelled")
        self.assertEqual(rest(response.id).status, "cancelled")
        done = client.responses.create(model="", input="Say hello.")
        self.assertEqual(client.responses.cancel(done.id).status, "completed")

    def test_a_stream_that_is_picked_up_again(self):
        answer = ""
        stream = client.responses.create(model="", input="Count to twenty.", stream=True)
        for event in stream:
            last = event.sequence_number
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_text.delta":
                answer += event.delta
                if "5" in answer:
                    stream.close()
                    break
        for event in client.responses.retrieve(response_id, stream=True, starting_after=last):
            self.assertEqual(event.sequence_number, last + 1)
            last = event.sequence_number
            if event.type == "response.output_text.delta":
                answer += event.delta
        self.assertEqual(event.type, "response.completed")
        self.assertEqual(answer, event.response.output_text)
        with client.responses.stream(response_id=response_id, starting_after=4) as stream:
            self.assertEqual(next(stream).sequence_number, 5)
            self.assertEqual(stream.get_final_response().output_text, answer)


class Errors(unittest.TestCase):
    def test_a_token_that_is_none(self):
        with self.assertRaises(openai.AuthenticationError) as caught:
            OpenAI(base_url=ADDRESS, api_key="thp_live_nonsense").responses.create(model="", input="Say hello.")
        self.assertEqual(caught.exception.code, "unauthenticated")

    def test_what_is_not_there(self):
        for unknown in ["run_11111111111111111111zz", "resp_abc"]:
            with self.assertRaises(openai.NotFoundError) as caught:
                client.responses.retrieve(unknown)
            self.assertEqual(caught.exception.code, "not_found")
        with self.assertRaises(openai.NotFoundError) as caught:
            client.responses.create(model="", input="Say hello.", conversation="cnv_11111111111111111111zz")
        self.assertEqual(caught.exception.code, "conversation_not_found")

    def test_what_excludes_each_other(self):
        first = client.responses.create(model="", input="Say hello.")
        conversation = client.conversations.create()
        with self.assertRaises(openai.BadRequestError) as caught:
            client.responses.create(
                model="", input="Say hello.", conversation=conversation.id, previous_response_id=first.id
            )
        self.assertEqual(caught.exception.code, "invalid_request")

    def test_a_model_of_nobody(self):
        with self.assertRaises(openai.UnprocessableEntityError) as caught:
            client.responses.create(model="no-such-model", input="Say hello.")
        self.assertEqual(caught.exception.code, "unknown_provider")

    def test_a_failed_run_is_not_repeated(self):
        statuses = []
        with self.assertRaises(openai.InternalServerError) as caught:
            counting(statuses).responses.create(model="", input="Please be unavailable.")
        self.assertEqual((caught.exception.status_code, caught.exception.code), (502, "model_request_failed"))
        self.assertEqual(statuses, [502])

    def test_a_failure_in_the_middle_of_a_stream(self):
        answer = ""
        with self.assertRaises(openai.APIError) as caught:
            for event in client.responses.create(model="", input="Please break off.", stream=True):
                if event.type == "response.created":
                    response_id = event.response.id
                if event.type == "response.output_text.delta":
                    answer += event.delta
        self.assertTrue(answer.startswith("I begin"))
        self.assertEqual(caught.exception.code, "model_request_failed")
        response = client.responses.retrieve(response_id)
        self.assertEqual((response.status, response.error.code), ("failed", "model_request_failed"))


class Disconnects(unittest.TestCase):
    def test_a_response_goes_on_without_its_reader(self):
        stream = client.responses.create(model="", input="Count to twenty.", stream=True)
        response_id = next(stream).response.id
        stream.close()
        response = rest(response_id)
        self.assertEqual(response.status, "completed")
        self.assertTrue(response.output_text.endswith("19 20"))


if __name__ == "__main__":
    unittest.main()
