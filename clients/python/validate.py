"""Holds responses and their events against the schema of Open Responses, as the package `openresponses-types` has it."""

import copy
import json
import os
import unittest

import httpx2
import openresponses_types as schema

KINDS = {
    "response.created": schema.ResponseCreatedStreamingEvent,
    "response.queued": schema.ResponseQueuedStreamingEvent,
    "response.in_progress": schema.ResponseInProgressStreamingEvent,
    "response.completed": schema.ResponseCompletedStreamingEvent,
    "response.failed": schema.ResponseFailedStreamingEvent,
    "response.incomplete": schema.ResponseIncompleteStreamingEvent,
    "response.output_item.added": schema.ResponseOutputItemAddedStreamingEvent,
    "response.output_item.done": schema.ResponseOutputItemDoneStreamingEvent,
    "response.content_part.added": schema.ResponseContentPartAddedStreamingEvent,
    "response.content_part.done": schema.ResponseContentPartDoneStreamingEvent,
    "response.output_text.delta": schema.ResponseOutputTextDeltaStreamingEvent,
    "response.output_text.done": schema.ResponseOutputTextDoneStreamingEvent,
    "response.output_text.annotation.added": schema.ResponseOutputTextAnnotationAddedStreamingEvent,
    "response.reasoning_summary_part.added": schema.ResponseReasoningSummaryPartAddedStreamingEvent,
    "response.reasoning_summary_part.done": schema.ResponseReasoningSummaryPartDoneStreamingEvent,
    "response.reasoning_summary_text.delta": schema.ResponseReasoningSummaryDeltaStreamingEvent,
    "response.reasoning_summary_text.done": schema.ResponseReasoningSummaryDoneStreamingEvent,
    "response.function_call_arguments.delta": schema.ResponseFunctionCallArgumentsDeltaStreamingEvent,
    "response.function_call_arguments.done": schema.ResponseFunctionCallArgumentsDoneStreamingEvent,
    "error": schema.ErrorStreamingEvent,
}

# What the schema has no words for.
UNKNOWN_ITEMS = {"mcp_call", "mcp_approval_request", "file_search_call"}
UNKNOWN_EVENTS = ("response.mcp_call.", "response.file_search_call.")

FUNCTION = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
INVOICE = {
    "type": "json_schema",
    "name": "invoice",
    "schema": {"type": "object", "properties": {"customer": {"type": "string"}}, "required": ["customer"]},
}

# One request for each kind of answer.
REQUESTS = {
    "a text": {"input": "Say hello."},
    "instructions and settings": {
        "input": "Say hello.",
        "instructions": "Answer in French.",
        "metadata": {"topic": "greetings"},
        "temperature": 0.5,
        "max_output_tokens": 500,
        "reasoning": {"effort": "low"},
    },
    "reasoning": {"input": "Think about it."},
    "calls of functions": {
        "input": "What is the weather in Paris and Rome?",
        "tools": [FUNCTION],
        "tool_choice": {"type": "function", "name": "get_weather"},
        "parallel_tool_calls": True,
    },
    "a structured answer": {"input": "Write an invoice for Ada.", "text": {"format": INVOICE}},
    "a cut answer": {"input": "This is too long."},
    "an approval": {"input": "Refund order 12."},
}
FAILURES = {
    "a failure at once": {"input": "Please be unavailable."},
    "a failure later on": {"input": "Please break off."},
}

http = httpx2.Client(
    base_url="http://127.0.0.1:8080/v1",
    headers={"Authorization": f"Bearer {os.environ['INGRAM_TOKEN']}"},
    timeout=60,
)


def known(response):
    """Leaves out the items that the schema has no words for."""
    response = copy.deepcopy(response)
    response["output"] = [item for item in response["output"] if item["type"] not in UNKNOWN_ITEMS]
    # The package holds the schema of a text for a null.
    if "schema" in response["text"]["format"]:
        response["text"]["format"]["schema"] = None
    return response


def events(answer):
    """Reads a stream: pairs of the event's name and its JSON."""
    name = None
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


class Validation(unittest.TestCase):
    def check(self, response):
        schema.ResponseResource.model_validate(known(response))

    def check_event(self, name, event):
        self.assertEqual(name, event["type"])
        if name.startswith(UNKNOWN_EVENTS) or event.get("item", {}).get("type") in UNKNOWN_ITEMS:
            return
        self.assertIn(name, KINDS)
        if "response" in event:
            event = {**event, "response": known(event["response"])}
        KINDS[name].model_validate(event)

    def check_stream(self, method, path, body=None):
        with http.stream(method, path, json=body) as answer:
            self.assertEqual(answer.status_code, 200)
            told = list(events(answer))
        for name, event in told:
            with self.subTest(event=name):
                self.check_event(name, event)
        return [event for _, event in told]

    def test_responses(self):
        for kind, body in REQUESTS.items():
            with self.subTest(kind):
                answer = http.post("/responses", json=body)
                self.assertEqual(answer.status_code, 200, answer.text)
                self.check(answer.json())
                self.check(http.get(f"/responses/{answer.json()['id']}").json())

    def test_streams(self):
        for kind, body in {**REQUESTS, **FAILURES}.items():
            with self.subTest(kind):
                told = self.check_stream("POST", "/responses", {**body, "stream": True})
                response = told[-1]["response"]
                again = self.check_stream("GET", f"/responses/{response['id']}?stream=true")
                self.assertEqual(again, told)
                self.check(http.get(f"/responses/{response['id']}").json())

    def test_a_resumed_response(self):
        paused = http.post("/responses", json={"input": "Refund order 12."}).json()
        request = paused["output"][-1]["id"]
        decision = {"type": "mcp_approval_response", "approval_request_id": request, "approve": True}
        self.check_stream("POST", "/responses", {"input": [decision], "stream": True})
        self.check_stream("GET", f"/responses/{paused['id']}?stream=true")
        self.check(http.get(f"/responses/{paused['id']}").json())

    def test_a_response_in_the_background(self):
        response = http.post("/responses", json={"input": "Count to twenty.", "background": True}).json()
        self.check(response)
        self.check(http.post(f"/responses/{response['id']}/cancel").json())
        self.check_stream("GET", f"/responses/{response['id']}?stream=true")


if __name__ == "__main__":
    unittest.main()
