"""Runs another program's work in that program's own environment; asked by `tests.bench.peers` over a pipe.

One JSON object a line. `do` names a task and prepares it (the answer is the program's version, after one
successful run); `again` runs it `repeats` times and answers the seconds of CPU that it took.
"""

import json
import sys
import time
from importlib.metadata import version


def claim169(question):
    import claim169 as package

    decode = {
        "ES256": package.decode_with_ecdsa_p256,
        "EdDSA": package.decode_with_ed25519,
    }[question["algorithm"]]
    code, key = question["code"], bytes.fromhex(question["key"])

    def act():
        if not decode(code, key, validate_timestamps=False).is_verified():
            raise ValueError("not verified")

    return act, version("claim169")


def face(question):
    import face_recognition
    import numpy as np

    data = np.frombuffer(bytes.fromhex(question["picture"]), np.uint8)
    picture = np.ascontiguousarray(data.reshape(question["shape"]))
    upsample = question["upsample"]
    release = version("face_recognition")

    def detect():
        found = face_recognition.face_locations(picture, number_of_times_to_upsample=upsample)
        if len(found) != 1:
            raise ValueError(f"{len(found)} faces found")
        return found

    if question["do"] == "face, detect":
        return detect, release
    place = detect()

    def embed():
        if len(face_recognition.face_encodings(picture, place, model="small")) != 1:
            raise ValueError("no template")

    return embed, release


TASKS = {"claim169": claim169, "face, detect": face, "face, align and embed": face}


def main():
    act = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if question["do"] == "again":
                began = time.process_time()
                for _ in range(question["repeats"]):
                    act()
                value = time.process_time() - began
            else:
                act, value = TASKS[question["do"]](question)
                act()
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its answer
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
            continue
        print(json.dumps({"value": value}), flush=True)


if __name__ == "__main__":
    main()
