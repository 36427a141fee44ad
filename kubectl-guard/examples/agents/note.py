"""Notes each incident that begins, and proposes a restart where a container keeps crashing."""

import json
import sys


def say(**word):
    print(json.dumps(word), flush=True)


for line in sys.stdin:
    told = json.loads(line)
    if told["is"] != "began":
        continue
    first = told["pods"][0]
    say(kind="note", incident=told["incident"], text=f"{first['workload']}: {first['reason']}")
    if first["cause"] in ("crash_loop", "failed"):
        for target in told["targets"][:1]:
            say(kind="proposal", namespace=target["namespace"], target=target["target"], action="restart",
                reason="it keeps crashing, and has no state")
