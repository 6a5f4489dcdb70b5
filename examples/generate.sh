#!/bin/sh
# An image from a prompt, into a file.
#
#     BASE_URL=http://127.0.0.1:3000/v1 API_KEY=sk-… ./generate.sh "a red fox in the snow" fox.webp
set -eu

prompt=${1:-a red fox in the snow}
file=${2:-image.webp}

# Python writes the JSON, as a prompt may hold any character, and reads it.
body=$(python3 -c 'import json, sys; print(json.dumps({"prompt": sys.argv[1], "size": "512x512"}))' "$prompt")

curl --silent --show-error --fail-with-body "$BASE_URL/images/generations" \
  --header "Authorization: Bearer $API_KEY" \
  --header "Content-Type: application/json" \
  --data "$body" |
  python3 -c '
import base64, json, sys
answer = json.load(sys.stdin)
if "error" in answer:
    sys.exit(answer["error"]["message"])
open(sys.argv[1], "wb").write(base64.b64decode(answer["data"][0]["b64_json"]))
' "$file"

echo "$file"
