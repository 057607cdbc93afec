"""`--format junit`: a test suite a target, a test case a finding; a clean target is one that passed."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from muaudit.findings.model import SEVERITIES, target_name
from muaudit.report.listing import Failure, Finding, Run, findings

# Control characters that XML 1.0 has no way to write.
_UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(run: Run) -> str:
    """JUnit XML as Jenkins' schema has it. Failures are findings that fail the run; the rest is told in system-out."""
    suites = Element("testsuites", name="muaudit")
    found = findings(run)
    for name in dict.fromkeys(map(target_name, run.reports)):
        _suite(suites, name, [finding for finding in found if finding.target == name], run)
    for failure in run.failures:
        _broken(suites, failure)
    for key in ("tests", "failures", "errors"):
        suites.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def _suite(parent: Element, name: str, found: list[Finding], run: Run) -> None:
    failing = SEVERITIES[: SEVERITIES.index(run.fail_on) + 1]
    failed = [finding for finding in found if finding.severity in failing and (finding.analysed or run.strict)]
    skipped = [finding for finding in found if not finding.analysed and finding not in failed]
    suite = SubElement(
        parent, "testsuite", name=_text(name), tests=str(len(found) or 1), failures=str(len(failed)), errors="0",
        skipped=str(len(skipped)),
    )  # fmt: skip
    if not found:
        SubElement(suite, "testcase", name="parametrization", classname=_text(name))
    for finding in found:
        case = SubElement(suite, "testcase", name=_text(_title(finding)), classname=_text(name))
        kind = "failure" if finding in failed else "skipped" if finding in skipped else ""
        if kind:
            SubElement(case, kind, type=finding.rule, message=_text(finding.message)).text = _text(_body(finding))
        else:
            SubElement(case, "system-out").text = _text(f"{finding.severity}: {_body(finding)}")


def _broken(parent: Element, failure: Failure) -> None:
    suite = SubElement(
        parent, "testsuite", name=_text(failure.target), tests="1", failures="0", errors="1", skipped="0"
    )
    case = SubElement(suite, "testcase", name="audit", classname=_text(failure.target))
    SubElement(case, "error", type="UserError", message=_text(failure.message.splitlines()[0])).text = _text(
        failure.message
    )


def _title(finding: Finding) -> str:
    return f"{finding.rule} {finding.name} [{', '.join(finding.subjects[:1])}]"


def _body(finding: Finding) -> str:
    where = f"{finding.place.path}:{finding.place.line}: " if finding.place else ""
    parts = (f"{where}{finding.message}", finding.consequence, f"fix: {finding.fix}" if finding.fix else "")
    return "\n".join(part for part in parts if part)


def _text(text: str) -> str:
    return _UNWRITABLE.sub("�", text)
