"""The `openai-agents` package for Python."""

import os
import unittest

from agents import (
    Agent,
    HostedMCPTool,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    handoff,
    set_tracing_disabled,
)
from agents.exceptions import AgentsException
from openai import AsyncOpenAI
from pydantic import BaseModel

# Traces would go to OpenAI; the server keeps its own.
set_tracing_disabled(True)


def connect():
    client = AsyncOpenAI(
        base_url="http://127.0.0.1:8080/v1",
        api_key=os.environ["INGRAM_TOKEN"],
    )
    model = OpenAIResponsesModel(model="", openai_client=client)
    return client, model


# One pixel.
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


class Invoice(BaseModel):
    customer: str
    items: list[str]
    total: float


@function_tool
def get_weather(city: str) -> dict:
    """Tells the weather of a city."""
    return {"celsius": {"Paris": 21, "Rome": 30}[city]}


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        # Connections belong to the event loop of one test.
        self.client, self.model = connect()

    async def asyncTearDown(self):
        await self.client.close()


class Both:
    """What holds for both APIs that the SDK speaks."""

    async def test_a_reply(self):
        agent = Agent(name="Helper", model=self.model)
        result = await Runner.run(agent, "Say hello.")
        self.assertEqual(result.final_output, "Hello, how can I help?")
        self.assertEqual(result.context_wrapper.usage.requests, 1)
        self.assertGreater(result.context_wrapper.usage.output_tokens, 0)

    async def test_instructions_are_added_to_those_of_the_agent(self):
        agent = Agent(name="Helper", instructions="Answer in French.", model=self.model)
        result = await Runner.run(agent, "Say hello.")
        self.assertTrue(result.final_output.startswith("Bonjour"))

    async def test_a_streamed_reply(self):
        agent = Agent(name="Helper", model=self.model)
        result = Runner.run_streamed(agent, "Say hello.")
        answer = ""
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                answer += event.data.delta
        self.assertEqual(answer, "Hello, how can I help?")
        self.assertEqual(result.final_output, answer)

    async def test_tools(self):
        agent = Agent(name="Helper", model=self.model, tools=[get_weather])
        result = await Runner.run(agent, "What is the weather in Paris?")
        self.assertEqual(result.final_output, "It is 21 degrees.")

    async def test_parallel_tools_in_a_stream(self):
        settings = ModelSettings(parallel_tool_calls=True)
        agent = Agent(name="Helper", model=self.model, tools=[get_weather], model_settings=settings)
        result = Runner.run_streamed(agent, "What is the weather in Paris and Rome?")
        items = [event.item.type async for event in result.stream_events() if event.type == "run_item_stream_event"]
        self.assertEqual(items.count("tool_call_item"), 2)
        self.assertEqual(items.count("tool_call_output_item"), 2)
        self.assertEqual(result.final_output, "It is 30 degrees.")

    async def test_a_tool_that_must_be_called(self):
        settings = ModelSettings(tool_choice="required")
        agent = Agent(
            name="Helper",
            model=self.model,
            tools=[function_tool(lambda: "done", name_override="finish", description_override="Ends it.")],
            model_settings=settings,
            tool_use_behavior="stop_on_first_tool",
        )
        self.assertEqual((await Runner.run(agent, "Say hello.")).final_output, "done")

    async def test_a_structured_answer(self):
        agent = Agent(name="Clerk", model=self.model, output_type=Invoice)
        result = await Runner.run(agent, "Write an invoice for Ada.")
        self.assertEqual(result.final_output, Invoice(customer="Ada", items=["paper", "ink"], total=12.5))

    async def test_an_image(self):
        content = [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
        ]
        agent = Agent(name="Helper", model=self.model)
        result = await Runner.run(agent, [{"role": "user", "content": content}])
        self.assertEqual(result.final_output, "I see 1 of them.")

    async def test_the_history_of_the_request(self):
        agent = Agent(name="Helper", model=self.model, tools=[get_weather])
        result = await Runner.run(agent, "What is the weather in Paris?")
        history = result.to_input_list() + [{"role": "user", "content": "My name is Ada."}]
        result = await Runner.run(agent, history)
        history = result.to_input_list() + [{"role": "user", "content": "What is my name?"}]
        result = await Runner.run(agent, history)
        self.assertEqual(result.final_output, "Your name is Ada.")

    async def test_a_failure(self):
        agent = Agent(name="Helper", model=self.model)
        for said in ["Please be unavailable.", "Please break off."]:
            result = Runner.run_streamed(agent, said)
            with self.assertRaises(Exception) as caught:
                async for _ in result.stream_events():
                    pass
            self.assertNotIsInstance(caught.exception, (AttributeError, TypeError, KeyError))


class Responses(Both, Case):
    async def test_the_response_before(self):
        agent = Agent(name="Helper", model=self.model)
        first = await Runner.run(agent, "My name is Ada.")
        second = await Runner.run(agent, "What is my name?", previous_response_id=first.last_response_id)
        self.assertEqual(second.final_output, "Your name is Ada.")

    async def test_a_conversation(self):
        agent = Agent(name="Helper", model=self.model, tools=[get_weather])
        conversation = await self.client.conversations.create()
        await Runner.run(agent, "What is the weather in Paris?", conversation_id=conversation.id)
        await Runner.run(agent, "My name is Ada.", conversation_id=conversation.id)
        result = await Runner.run(agent, "What is my name?", conversation_id=conversation.id)
        self.assertEqual(result.final_output, "Your name is Ada.")

    async def test_a_handoff(self):
        clerk = Agent(name="Clerk", model=self.model, instructions="Answer in French.")
        settings = ModelSettings(tool_choice="required")
        desk = Agent(name="Desk", model=self.model, handoffs=[handoff(clerk)], model_settings=settings)
        result = await Runner.run(desk, "Say hello.")
        self.assertEqual(result.last_agent.name, "Clerk")
        self.assertTrue(result.final_output.startswith("Bonjour"))


class Servers(Case):
    """MCP servers that the server calls, with approvals."""

    def agent(self, **more):
        tool = HostedMCPTool(
            tool_config={
                "type": "mcp",
                "server_label": "dictionary",
                "server_url": os.environ["INGRAM_MCP_URL"],
                "require_approval": "always",
            },
            **more,
        )
        return Agent(name="Helper", model=self.model, tools=[tool])

    async def test_an_approval_by_a_function(self):
        asked = []

        def approve(request):
            asked.append(request.data.name)
            return {"approve": True}

        result = await Runner.run(self.agent(on_approval_request=approve), "Please look up ingram.")
        self.assertEqual(asked, ["lookup"])
        self.assertEqual(result.final_output, "The lookup says: a surname")

    async def test_an_approval_of_an_interruption(self):
        agent = self.agent()
        result = await Runner.run(agent, "Please look up ingram.")
        state = result.to_state()
        for interruption in result.interruptions:
            state.approve(interruption)
        result = await Runner.run(agent, state)
        self.assertEqual(result.final_output, "The lookup says: a surname")

    async def test_an_approval_in_a_stream(self):
        result = Runner.run_streamed(
            self.agent(on_approval_request=lambda request: {"approve": True}), "Please look up ingram."
        )
        items = [event.item.type async for event in result.stream_events() if event.type == "run_item_stream_event"]
        self.assertIn("mcp_approval_request_item", items)
        self.assertEqual(result.final_output, "The lookup says: a surname")

    async def test_a_rejection(self):
        agent = self.agent(on_approval_request=lambda request: {"approve": False, "reason": "Not today."})
        try:
            result = await Runner.run(agent, "Please look up ingram.")
        except AgentsException as error:
            self.fail(f"a rejection ends the run well: {error}")
        self.assertNotIn("a surname", str(result.final_output))


class Chat(Both, Case):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.model = OpenAIChatCompletionsModel(model="", openai_client=self.client)


if __name__ == "__main__":
    unittest.main()
