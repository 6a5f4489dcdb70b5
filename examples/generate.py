"""Images from a prompt, by OpenAI's SDK: one file for each, named after its seed.

BASE_URL=http://127.0.0.1:3000/v1 API_KEY=sk-… python generate.py "a red fox in the snow"
"""

import base64
import os
import sys

import openai


def main() -> None:
    prompt = sys.argv[1] if len(sys.argv) > 1 else "a red fox in the snow"
    # The SDK waits as long as the server says where it is busy, and asks again.
    client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"], max_retries=3, timeout=600)
    try:
        # What OpenAI's API doesn't have goes into `extra_body`. The second image has the next seed.
        answer = client.images.generate(prompt=prompt, n=2, size="512x512", extra_body={"seed": 42})
    except openai.APIStatusError as error:
        sys.exit(f"{error.code}: {error.message}")
    for image in answer.data:
        name = f"{image.seed}.{answer.output_format}"
        with open(name, "wb") as file:
            file.write(base64.b64decode(image.b64_json))
        print(name)


if __name__ == "__main__":
    main()
