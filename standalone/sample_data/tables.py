"""The sample shop in numbers: categories, ways of shopping, places, and their shares of the real set.

A share is a fraction of the whole, unless its comment says otherwise; money is in USD.
"""

from datetime import date
from typing import NamedTuple

CUSTOMERS = 1_468
TRANSACTIONS = 25_061  # at scale 1
FIRST_DAY = date(2019, 1, 1)
DAYS = 365


class Category(NamedTuple):
    """A product category: its share of the order lines, its SKUs, prices (USD), GST and coupon."""

    name: str
    line_share: float
    skus: int
    code: str
    price: float
    price_spread: float
    mean_quantity: float
    gst_pct: int
    coupon: str | None
    nouns: tuple[str, ...]


APPAREL = (
    "Men's Crew Tee",
    "Women's Crew Tee",
    "Kids' Crew Tee",
    "Zip Hoodie",
    "Pullover Hoodie",
    "Long & Light Tee",
    "Rain Jacket",
    "Fleece Vest",
    "Tank Top",
    "Polo Shirt",
    "Track Jacket",
    "Baby One-piece",
)
OFFICE = ("Roller Pen", "Pen, Pencil & Marker Set", "Sticker Sheet", "Desk Pad", "Mouse Pad", "Sticky Notes")
DRINKWARE = ("Ceramic Mug", "Steel Tumbler", "Mug, 11 oz", "Travel Flask", "Pint Glass")
LIFESTYLE = ("Key Ring", "Lip Balm", "Sun & Sport Balm", "Lunch Bag", "5&quot; Desk Plant", "Earbuds")
CATEGORIES = (
    Category("Apparel", 0.342491, 923, "AP", 17.5, 0.65, 1.8, 18, "APP", APPAREL),
    Category("Nest-USA", 0.264776, 9, "NU", 135, 0.22, 1.53, 10, "HOME", ("Thermostat", "Indoor Camera")),
    Category("Office", 0.123063, 44, "OF", 3.0, 0.7, 13.6, 10, "DESK", OFFICE),
    Category("Drinkware", 0.065811, 31, "DW", 9, 0.8, 8.8, 18, "PLUS", DRINKWARE),
    Category("Lifestyle", 0.058423, 22, "LI", 3, 0.5, 8.0, 18, "PLUS", LIFESTYLE),
    Category("Nest", 0.041531, 8, "NE", 190, 0.5, 1.29, 5, "NEST", ("Thermostat E", "Doorbell", "Alarm")),
    Category("Bags", 0.03556, 17, "BA", 14, 1.0, 8.1, 18, "BAG", ("Canvas Tote", "Sling Bag", "Laptop Bag")),
    Category("Headgear", 0.014568, 18, "HG", 15, 0.27, 4.6, 5, "CAP", ("Cap", "Beanie", "Sun Visor")),
    Category("Notebooks & Journals", 0.014152, 14, "NJ", 12, 0.48, 12.8, 5, "JRNL", ("Journal, Ruled",)),
    Category("Waze", 0.010468, 23, "WZ", 6, 0.7, 2.1, 18, "WAYS", ("Mood Magnet", "Traffic Tee", "Car Clip")),
    Category("Nest-Canada", 0.00599, 5, "NC", 149, 0.24, 1.48, 10, "MAPLE", ("Thermostat CA", "Camera CA")),
    Category("Bottles", 0.005064, 2, "BO", 3, 0.2, 7.8, 5, "BOT", ("Water Bottle",)),
    Category("Accessories", 0.004421, 7, "AC", 4.5, 0.8, 4.7, 10, "ACCE", ("Phone Stand", "Lanyard")),
    Category("Fun", 0.003023, 3, "FU", 7, 0.3, 5.2, 18, None, ("9&quot; Flying Disc", "Yo-yo")),
    Category("Gift Cards", 0.003004, 6, "GC", 90, 0.7, 1.3, 5, "GIFT", ("Gift Card",)),
    Category("Housewares", 0.002305, 1, "HW", 2, 0.1, 20.4, 12, "HOUSE", ("Bamboo Spoon",)),
    Category("Google", 0.001984, 2, "GO", 14.5, 0.2, 5.5, 10, None, ("Logo Tumbler",)),
    Category("Backpacks", 0.001682, 3, "BP", 80, 0.3, 1.27, 10, None, ("Rucksack", "Day Pack")),
    Category("More Bags", 0.000869, 2, "MB", 18, 0.1, 3.1, 18, None, ("Gym Sack",)),
    Category("Android", 0.000812, 5, "AN", 16, 0.2, 1.05, 10, "DROID", ("Robot Tee", "Robot Figure")),
)
COUPON_ONLY = ("Notebooks", "NOTE")
BRANDS = ("Lumen", "Alder", "Kestrel", "Fathom", "Tandem", "Orbit")
COLOURS = ("Black", "White", "Navy", "Grey", "Red", "Green", "Blue", "Heather")


class Group(NamedTuple):
    """A way of shopping; `orders` are transactions a visit, `bulk` scales the quantity above one piece."""

    share: float
    visits: float
    orders: float
    bulk: float
    first_day: int
    last_day: int


GROUPS = (
    Group(0.13, visits=1.8, orders=9, bulk=2.2, first_day=0, last_day=364),  # few visits, large baskets
    Group(0.32, visits=1.5, orders=7, bulk=0.8, first_day=0, last_day=185),  # stopped buying by mid-year
    Group(0.17, visits=1.05, orders=3, bulk=0.6, first_day=120, last_day=364),  # once, and little
    Group(0.08, visits=5.0, orders=10, bulk=1.2, first_day=0, last_day=364),  # often and much, to the end
    Group(0.30, visits=2.7, orders=8, bulk=0.7, first_day=60, last_day=364),  # often
)
CHAMPIONS = 3

GENDERS = {"F": 0.63624, "M": 0.36376}
LOCATIONS = {
    "California": 0.316076,
    "Chicago": 0.310627,
    "New York": 0.220708,
    "New Jersey": 0.101499,
    "Washington DC": 0.051090,
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTH_SHARES = (
    0.0768,
    0.0621,
    0.0821,
    0.0784,
    0.0864,
    0.0792,
    0.0992,
    0.1162,
    0.0810,
    0.0787,
    0.0748,
    0.0851,
)
WEEKDAY_WEIGHTS = (0.084, 0.087, 0.168, 0.170, 0.175, 0.155, 0.161)  # Monday first
OFFLINE_LEVELS = (3100, 2900, 2400, 3200, 2100, 2700, 2200, 2750, 2750, 3000, 3100, 3950)  # USD a day
ONLINE_LEVELS = (1880, 1990, 1570, 2030, 1700, 1790, 1700, 1850, 1750, 1860, 2270, 2470)  # USD a day

LINES_SHARES = (
    *(0.58405, 0.18946, 0.08531, 0.04856, 0.02785, 0.02031, 0.01285, 0.00822, 0.00698, 0.00431),
    *(0.00267, 0.00200, 0.00140, 0.00124, 0.00140, 0.00060, 0.00064, 0.00040, 0.00036, 0.00036),
    *(0.00044, 0.00012, 0.00016, 0.00004, 0.00002, 0.00002, 0.00004, 0.00004, 0.00004, 0.00004),
    *(0.00001, 0.00001, 0.00001, 0.00001, 0.00004),
)  # index 0: one line a transaction
STATUS_SHARES = {"Clicked": 0.508767, "Used": 0.338296, "Not Used": 0.152937}
QUANTITIES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 100, 150, 200, 300, 500, 900)
LARGEST_SALE = 10_500.0  # USD a line
FAVOURED_QUANTITIES = {1: 1.7, 5: 2.0, 10: 3.0, 20: 3.0, 50: 3.0, 100: 4.0}
PRICE_LEVELS = (1.0, 0.8, 0.7, 1.25, 0.9, 0.64, 0.75, 1.1)
SURCHARGES = (12.99, 19.99, 12.48, 12.91, 8.7, 0.0)
SURCHARGE_SHARES = (0.42, 0.14, 0.10, 0.05, 0.04, 0.03)
