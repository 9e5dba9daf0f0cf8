import os

from openai import OpenAI

client = OpenAI()
model = os.environ["OPENAI_MODEL"]
schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
weather = {"type": "function", "function": {"name": "weather", "description": "Of a city", "parameters": schema}}
question = {"role": "user", "content": "Is it sunny?"}


def ask(messages):
    """What came as text, and the calls of tools with their arguments put together."""
    text, calls = "", {}
    for chunk in client.chat.completions.create(model=model, messages=messages, tools=[weather], stream=True):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                if call.index not in calls:
                    calls[call.index] = call
                else:
                    calls[call.index].function.arguments += call.function.arguments
    return text, list(calls.values())


_, calls = ask([question])
called = {"role": "assistant", "tool_calls": [call.model_dump(exclude={"index"}) for call in calls]}
answers = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
print(ask([question, called, *answers])[0])
