"""Where clients come from: advertising campaigns with their UTM labels and costs, and sources without labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from demo.world.engine import Engine
from demo.world.model import Row

UTM_FIELDS = ("UTM_SOURCE", "UTM_MEDIUM", "UTM_CAMPAIGN", "UTM_CONTENT", "UTM_TERM")


@dataclass(frozen=True)
class Campaign:
    """One advertising campaign.

    Attributes:
        share: share of all leads. quality: how much better than average its leads convert.
        lead_cost: what one lead costs, in `currency`; 0 when nothing is paid. click_cost: the same per click.
    """

    channel: str
    system: str
    account: str
    campaign_id: str
    name: str
    sources: tuple[str, ...]
    medium: str
    utm_campaign: str
    share: float
    quality: float
    lead_cost: float
    click_cost: float
    currency: str = ""


CAMPAIGNS = (
    Campaign(
        "yandex_direct", "yandex_direct", "pes-direct", "70110021", "Бренд Москва",
        ("yandex", "yandex", " Yandex ", "ya"), "cpc", "brand_moscow", 0.06, 1.5, 6_900, 48,
    ),
    Campaign(
        "yandex_direct", "yandex_direct", "pes-direct", "70110022", "Насосы поиск",
        ("yandex", "yandex", "YANDEX", "direct"), "cpc", "nasosy_search", 0.10, 1.1, 9_800, 62,
    ),
    Campaign(
        "yandex_direct", "yandex_direct", "pes-direct", "70110025", "Компрессоры РСЯ",
        ("yandex", "Yandex"), "cpc", "kompressory_rsya", 0.06, 0.55, 7_400, 14,
    ),
    Campaign(
        "google_ads", "google_ads", "123-456-7890", "1899001", "Equipment search",
        ("google", "Google", "adwords"), "cpc", "google_search_equipment", 0.04, 0.9, 8_800, 55,
    ),
    Campaign(
        "vk_ads", "vk_ads", "vk-31337", "5501", "VK лид-формы",
        ("vk", "vk", "VK", "vk_ads"), "cpc", "vk_leadforms", 0.07, 0.5, 4_600, 19,
    ),
    Campaign(
        "vk_remarketing", "vk_ads", "vk-31337", "5502", "VK ремаркетинг",
        ("vk",), "cpc_remarketing", "vk_return", 0.03, 1.0, 5_200, 17,
    ),
    Campaign(
        "telegram", "telegram_ads", "tg-pes", "tg-9", "Telegram посевы; каналы \"Завод\"",
        ("telegram", "Telegram", "tg"), "post", "tg_posevy", 0.035, 0.8, 62, 0.6, "EUR",
    ),
    Campaign(
        "email", "email", "", "", "Дайджест",
        ("email", "e-mail", "newsletter"), "email", "digest", 0.03, 1.3, 0, 0,
    ),
)  # fmt: skip
UNKNOWN_LABELS = ("habr", "2gis", "pulscen", "utm_source")
UNKNOWN_LABELS_SHARE = 0.025

# SOURCE_ID of what has no labels, with its share of leads and the quality of these
SOURCES = (
    ("CALL", 0.18, 1.2),
    ("WEB", 0.09, 0.9),
    ("WEBFORM", 0.08, 0.9),
    ("RECOMMENDATION", 0.05, 1.7),
    ("PARTNER", 0.04, 1.5),
    ("1|OPENLINE", 0.035, 0.7),
    ("TRADE_SHOW", 0.025, 0.9),
    ("EMAIL", 0.025, 0.9),
    ("CALLBACK", 0.02, 1.0),
    ("UC_AVITO7", 0.012, 0.4),
    ("OTHER", 0.008, 0.8),
    ("", 0.03, 0.8),
)


@dataclass(frozen=True)
class Origin:
    """Where one lead or deal came from, as its row tells it."""

    source_id: str | None
    description: str | None
    utm: Row

    def fields(self) -> Row:
        """Return the columns of the row."""
        return {"SOURCE_ID": self.source_id, "SOURCE_DESCRIPTION": self.description, **self.utm}


NO_UTM: Row = dict.fromkeys(UTM_FIELDS)


class Channels:
    """Draws origins; converting leads come from good channels more often."""

    def __init__(self, engine: Engine) -> None:
        """Prepare the weights."""
        self._engine = engine
        choices: list[Campaign | str] = [*CAMPAIGNS, "?", *(source for source, _, _ in SOURCES)]
        shares = [c.share for c in CAMPAIGNS] + [UNKNOWN_LABELS_SHARE] + [share for _, share, _ in SOURCES]
        quality = [c.quality for c in CAMPAIGNS] + [0.6] + [quality for _, _, quality in SOURCES]
        self._choices = choices
        self._good = list(accumulate(s * q for s, q in zip(shares, quality, strict=True)))
        self._other = list(accumulate(s / (0.6 + 0.6 * q) for s, q in zip(shares, quality, strict=True)))

    def draw(self, *, converts: bool) -> Origin:
        """Return the origin of a lead that will, or will not, become a deal."""
        weights = self._good if converts else self._other
        choice = self._engine.rng.choices(self._choices, cum_weights=weights)[0]
        if isinstance(choice, Campaign):
            return self._labelled(choice)
        if choice == "?":
            return Origin("WEB", None, {**NO_UTM, "UTM_SOURCE": self._engine.pick(UNKNOWN_LABELS), "UTM_MEDIUM": "cpc"})
        if choice == "":
            return Origin(self._engine.pick((None, "")), None, self._empty_labels())
        return Origin(choice, self._describe(choice), self._empty_labels())

    def draw_repeat(self) -> Origin:
        """Return the origin of a deal that no lead began."""
        source = self._engine.pick(("PARTNER", "PARTNER", "CALL", "EMAIL", "RECOMMENDATION", "", "1|OPENLINE"))
        if self._engine.chance(0.12):
            return self._labelled(CAMPAIGNS[-1] if self._engine.chance(0.6) else CAMPAIGNS[0])
        return Origin(source or None, None, self._empty_labels())

    def _labelled(self, campaign: Campaign) -> Origin:
        source = self._engine.pick(("WEB", "WEBFORM", "WEB", "ADVERTISING"))
        name = campaign.utm_campaign
        if self._engine.chance(0.05):
            name = f" {name.upper()}"
        utm = {
            "UTM_SOURCE": self._engine.pick(campaign.sources),
            "UTM_MEDIUM": campaign.medium,
            "UTM_CAMPAIGN": name,
            "UTM_CONTENT": self._engine.pick((None, "", "banner_1", "banner_2", "объявление №7")),
            "UTM_TERM": self._engine.pick((None, None, "насос центробежный", "купить компрессор; цена")),
        }
        return Origin(source, None, utm)

    def _empty_labels(self) -> Row:
        return NO_UTM if self._engine.chance(0.8) else dict.fromkeys(UTM_FIELDS, "")

    def _describe(self, source: str) -> str | None:
        if source == "TRADE_SHOW":
            return "Выставка «Нефтегаз»;\nстенд 21А12"
        if source == "RECOMMENDATION":
            return 'Посоветовал "знакомый"\tдиректор'
        return self._engine.pick((None, "", None))
