"""A nightly job: adds to a file what the members of one's own nation have done since the last run.

    python nightly_sync.py changes.ndjson

Each line is a JSON object. `changes.ndjson.bookmark` says how far the log was read. `EXCHANGE`, `EXCHANGE_CA`, `ME`,
`CERT` and `KEY` are as in `docs/api.md`; any member of the nation may run it, and reads what that member may read. If
the exchange refuses the bookmark (its log was restored, say), the log is read from the beginning, and lines come twice.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from exchange import accepted, connect
from exchange_client.api.log import log_list
from exchange_client.models import Problem
from exchange_client.types import UNSET


def main(file: str) -> None:
    changes, kept = Path(file), Path(file + ".bookmark")
    mark = json.loads(kept.read_text()) if kept.exists() else {"cursor": None, "seq": 0}
    client, nation = connect(), os.environ["ME"].split(":")[0]
    found = 0
    while True:
        answered = log_list.sync(client=client, cursor=mark["cursor"] or UNSET, limit=200)
        if mark["cursor"] and isinstance(answered, Problem) and answered.type_ == "urn:entente:problem:bad-cursor":
            print("the bookmark is refused: starting over", file=sys.stderr)
            mark = {"cursor": None, "seq": 0}
            continue
        said = accepted(answered).to_dict()
        # Numbers only grow: an entry that an earlier run has written is passed over.
        new = [entry for entry in said["items"] if entry["seq"] > mark["seq"]]
        own = [entry for entry in new if entry.get("actor", "").startswith(nation + ":")]
        with changes.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(entry | {"payload": json.loads(entry["payload"])}) + "\n" for entry in own)
        # The bookmark is written after the entries: a run that breaks off writes some twice and loses none.
        mark["seq"] = max([mark["seq"], *(entry["seq"] for entry in new)])
        mark["cursor"] = said.get("next") or said.get("bookmark") or mark["cursor"]
        kept.write_text(json.dumps(mark))
        found += len(own)
        if not said.get("next"):
            break
    print(f"{found} new {'entry' if found == 1 else 'entries'}")


if __name__ == "__main__":
    main(sys.argv[1])
