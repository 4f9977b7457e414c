"""axe, which judges a page for readers with a screen reader or a keyboard; `make axe` fetches it."""

from playwright.sync_api import Page

from include.settings import get_settings

AXE = get_settings().local_dir / "axe" / "package" / "axe.min.js"


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """Return each rule that is broken, with the first places, once all tables and definitions are open."""
    assert AXE.exists(), "make axe fetches it"
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found["violations"]]
