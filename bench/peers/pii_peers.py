"""What other packages find in texts: e-mail and IP addresses by datatrove, all kinds by Presidio's pattern recognizers.

    python pii_peers.py datatrove|presidio IN.jsonl OUT.jsonl

Every line of IN is {"text"}, every line of OUT a list of [kind, start, stop] in characters; the last line of output is
the seconds it took. Presidio's recognizers are asked one by one, without spaCy: names and places are left out.
"""

import json
import sys
import time


def datatrove():
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter()
    pairs = (("email", formatter.emails_replacer), ("ip", formatter.ip_replacer))

    def find(text):
        return [
            [kind, hit.start(), hit.end()]
            for kind, replacer in pairs
            for hit in replacer.regex.finditer(text)
            if replacer.validator is None or replacer.validator(hit.group(0))
        ]

    return find


def presidio():
    from presidio_analyzer import predefined_recognizers as known
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer  # noqa: F401 (says that it is whole)

    pairs = (
        ("email", known.EmailRecognizer()), ("phone", known.PhoneRecognizer()), ("card", known.CreditCardRecognizer()),
        ("iban", known.IbanRecognizer()), ("ssn", known.UsSsnRecognizer()), ("ip", known.IpRecognizer()),
    )  # fmt: skip

    def find(text):
        return [
            [kind, hit.start, hit.end]
            for kind, recognizer in pairs
            for hit in recognizer.analyze(text, recognizer.supported_entities, None) or []
        ]

    return find


def main():
    peer, source, out = sys.argv[1:]
    find = {"datatrove": datatrove, "presidio": presidio}[peer]()
    with open(source, encoding="utf-8", newline="\n") as file:
        texts = [json.loads(line)["text"] for line in file]
    begun = time.perf_counter()
    found = [find(text) for text in texts]
    seconds = time.perf_counter() - begun
    with open(out, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(spans) + "\n" for spans in found)
    print(seconds)


main()
