"""Every paper that the documentation cites by name and year has its full reference."""

from __future__ import annotations

import re

from tests.shown import pages

CITED = re.compile(
    r"(?P<name>[A-Z][A-Za-zé]+(?:-[A-Z][a-z]+)?)"
    r"(?: et\s+al\.|,? (?:&|and)\s+[A-Z][A-Za-z]+|, [A-Z][a-z]+ (?:&|and)\s+[A-Z][a-z]+)?,?"
    r"\s+\(?(?P<year>(?:19|20)\d\d)(?=[),;])"
)
MONTHS = {"January", "September", "October", "November", "December"}


def test_every_cited_paper_is_in_the_bibliography():
    found = {page: page.read_text() for page in pages()}
    (bibliography,) = [text for page, text in found.items() if page.stem == "bibliography"]
    entries = [" ".join(entry.split()) for entry in bibliography.split("\n- ")[1:]]
    cited = {
        (match["name"], match["year"])
        for page, text in found.items()
        if page.stem != "bibliography"
        for match in CITED.finditer(text)
        if match["name"] not in MONTHS
    }
    assert {("Meunier", "2025"), ("Kamm", "2025"), ("Gorce", "2025"), ("Zampini", "2025")} <= cited
    lacking = {
        (name, year)
        for name, year in cited
        if not any(re.search(rf"\b{name}\b.*\({year}\)", entry) for entry in entries)
    }
    assert lacking == set()
