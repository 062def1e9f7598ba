"""Checks a running server with `instructor`, in its modes for OpenAI-compatible servers.

    python instructor_client.py http://127.0.0.1:8000/v1 scripted/phi4

The server runs the example `scripted` of phial-serve, whose model `wits.py` makes clever.
"""

import asyncio
import json
from typing import List, Literal, Optional

import instructor
import openai
from harness import check, main
from instructor import Mode
from pydantic import BaseModel, ConfigDict, Field, field_validator

import wits


class Owner(BaseModel):
    name: str
    age: int = Field(ge=18, le=99)


class Pet(BaseModel):
    """An animal that lives with people."""

    name: str
    kind: str
    weight: float
    tags: List[str]
    owner: Owner
    chip: Optional[str] = None


PET = {
    "name": "Čaj ☕",
    "kind": "dog",
    "weight": 7.5,
    "tags": ["small", "loud"],
    "owner": {"name": "Ann \"A\" O'Neil", "age": 33},
    "chip": None,
}
MESSAGES = [{"role": "user", "content": "Who is the dog?"}]
MODES = [Mode.TOOLS, Mode.TOOLS_STRICT, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON]


def think(body):
    """The pet, in whatever form the mode asks for."""
    if body.get("tools"):
        return wits.call((body["tools"][0]["function"]["name"], PET))
    if (body.get("response_format") or {}).get("type") in ("json_object", "json_schema"):
        return json.dumps(PET, ensure_ascii=False)
    return f"```json\n{json.dumps(PET, ensure_ascii=False)}\n```"


def client(setup, mode, mind=think):
    made = openai.OpenAI(base_url=setup.base_url, api_key="none", http_client=wits.client(mind))
    return instructor.from_openai(made, mode=mode)


def ask(setup, **more):
    return {"model": setup.model, "messages": MESSAGES, "max_tokens": 300, "temperature": 0, **more}


def is_the_pet(pet):
    assert json.loads(pet.model_dump_json()) == PET, pet


def of_mode(mode):
    def whole(setup):
        pet, raw = client(setup, mode).chat.completions.create_with_completion(
            **ask(setup, response_model=Pet, max_retries=0)
        )
        is_the_pet(pet)
        calls = raw.choices[0].message.tool_calls
        assert bool(calls) == mode.name.startswith("TOOLS"), raw

    def partial(setup):
        parts = list(client(setup, mode).chat.completions.create_partial(**ask(setup, response_model=Pet)))
        assert len(parts) > 5
        is_the_pet(parts[-1])
        names = [part.name for part in parts if part.name]
        assert all(PET["name"].startswith(name) for name in names), names

    for function in (whole, partial):
        function.__name__ = f"{mode.name.lower()}_{function.__name__}"
        check(function)


for mode in MODES:
    of_mode(mode)


@check
def lists(setup):
    def several(body):
        return wits.call((body["tools"][0]["function"]["name"], {"tasks": [PET, PET, PET]}))

    asked = client(setup, Mode.TOOLS, several).chat.completions.create_iterable(**ask(setup, response_model=Pet))
    pets = list(asked)
    assert len(pets) == 3
    for pet in pets:
        is_the_pet(pet)


@check
def retries(setup):
    """A first answer that breaks a rule which no schema tells; the client asks again."""

    class Even(BaseModel):
        number: int = Field(ge=0, le=9)

        @field_validator("number")
        @classmethod
        def even(cls, number):
            if number % 2:
                raise ValueError("it must be even")
            return number

    asked = []

    def learns(body):
        asked.append(body)
        return wits.call((body["tools"][0]["function"]["name"], {"number": 2 + len(asked)}))

    made = client(setup, Mode.TOOLS, learns).chat.completions
    assert made.create(**ask(setup, response_model=Even, max_retries=2)).number == 4
    assert len(asked) == 2 and "it must be even" in json.dumps(asked[1]["messages"])


@check
def of_the_schema_alone(setup):
    """Whatever the model would say: the server keeps it to the schema."""

    class Answer(BaseModel):
        model_config = ConfigDict(extra="forbid")

        yes: bool
        kind: Literal["cat", "dog"]
        grade: int = Field(ge=1, le=6)

    for mode in (Mode.TOOLS, Mode.TOOLS_STRICT, Mode.JSON_SCHEMA):
        made = client(setup, mode, lambda _: "I would rather not say.")
        answer = made.chat.completions.create(**ask(setup, response_model=Answer, max_retries=0))
        assert isinstance(answer.yes, bool) and 1 <= answer.grade <= 6


@check
def asynchronous(setup):
    async def run():
        made = openai.AsyncOpenAI(
            base_url=setup.base_url, api_key="none", http_client=wits.async_client(think)
        )
        pets = instructor.from_openai(made, mode=Mode.TOOLS).chat.completions
        is_the_pet(await pets.create(**ask(setup, response_model=Pet)))

    asyncio.run(run())


if __name__ == "__main__":
    main(__doc__)
