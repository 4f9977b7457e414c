"""Blocks about money and products: spend, coupons, delivery, baskets, categories, seasons, places."""

from include.insights import charts
from include.insights.block import Block, Chart, Column, Context, Row
from include.insights.formats import share, shown

WEEKS_UP_TO_DAYS = 190  # a longer period is shown by month
MOST = 12  # bars that a reader can compare


def efficiency(context: Context) -> Block:
    """Return spend against revenue by week or month."""
    grain = "week" if context.period.days <= WEEKS_UP_TO_DAYS else "month"
    rows = context.in_period(
        """
        select
            period_start, is_complete, day_count, online_spend_amount, offline_spend_amount,
            total_spend_amount, net_sales_amount, marketing_efficiency_ratio, first_seen_customer_count,
            spend_per_first_seen_customer
        from fct_marketing_efficiency
        where period_grain = $grain and period_start between date_trunc($grain, $first) and $last
        order by period_start
        """,
        grain=grain,
    )
    whole = [
        row for row in rows if row["is_complete"]
    ]  # a week that the data cuts off would look like a fall
    spend, revenue = (sum(row[key] for row in whole) for key in ("total_spend_amount", "net_sales_amount"))
    said = (
        f"Each unit of money spent on marketing came with {float(revenue / spend):,.2f} of revenue."
        if spend
        else "Marketing spend against revenue."
    )
    return Block(
        key="efficiency",
        title="Spend against revenue",
        sentence=said,
        definition=(
            "MER (marketing efficiency ratio) is revenue divided by all marketing spend, both as sums; it is"
            " no proof that the spend caused the revenue, and there is no return by channel because no sale"
            " says which channel it came from. A new customer is one whose first purchase in the data lies"
            f" in the period. Where the data begins or ends within a {grain}, that one is in the table only."
        ),
        scope=f"Complete {grain}s that the period touches",
        columns=(
            Column("period_start", "Starts", "day"),
            Column("day_count", "Days in data", "count"),
            Column("online_spend_amount", "Online spend", "amount"),
            Column("offline_spend_amount", "Offline spend", "amount"),
            Column("total_spend_amount", "Spend", "amount"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("marketing_efficiency_ratio", "MER", "ratio"),
            Column("first_seen_customer_count", "New customers", "count"),
            Column("spend_per_first_seen_customer", "Spend a new customer", "amount"),
        ),
        rows=tuple(rows),
        empty="There is no spend in this period.",
        chart=Chart(
            charts.bars(
                [shown(row["period_start"], "month" if grain == "month" else "day") for row in whole],
                [
                    ("Online spend", [row["online_spend_amount"] for row in whole]),
                    ("Offline spend", [row["offline_spend_amount"] for row in whole]),
                ],
                unit="amount",
                stacked=True,
                lines=[("Revenue", [row["net_sales_amount"] for row in whole])],
            ),
            f"Online and offline spend, and revenue, by {grain}",
        ),
        rows_shown=30,
    )


def coupons(context: Context) -> Block:
    """Return what coupons gave away and what came with them."""
    rows = context.in_period(
        """
        select
            category,
            coupon_status,
            sum(line_count)::bigint as line_count,
            sum(quantity)::bigint as quantity,
            sum(gross_sales_amount) as gross_sales_amount,
            sum(discount_amount) as discount_amount,
            sum(net_sales_amount) as net_sales_amount,
            (sum(discount_amount) / nullif(sum(gross_sales_amount), 0))::double as effective_discount_rate,
            (sum(quantity) / nullif(sum(line_count), 0))::double as units_per_line,
            sum(compared_quantity) / nullif(sum(expected_quantity), 0) as units_against_clicked
        from fct_coupon_effect
        where month between date_trunc('month', $first) and $last
        group by category, coupon_status
        order by category, coupon_status
        """
    )
    used = [row for row in rows if row["coupon_status"] == "Used"]
    used.sort(key=lambda row: row["discount_amount"], reverse=True)
    gross, discount = (sum(row[key] for row in used) for key in ("gross_sales_amount", "discount_amount"))
    said = (
        f"Lines with a used coupon were sold {share(float(discount / gross))} below their price,"
        f" {context.money(discount)} in all."
        if gross
        else "What coupons gave away and what came with them."
    )
    return Block(
        key="coupons",
        title="Coupons",
        sentence=said,
        definition=(
            "A coupon's status belongs to an order line: Used, Clicked or Not Used. The effective rate is"
            " discount divided by gross sales. Against Clicked: units a line divided by those of Clicked"
            " lines of the same product and month. Who uses a coupon may differ from who does not, so a"
            " difference between them is an association, not the coupon's effect."
        ),
        scope=context.months,
        columns=(
            Column("category", "Category"),
            Column("coupon_status", "Status"),
            Column("line_count", "Lines", "count"),
            Column("quantity", "Units", "count"),
            Column("gross_sales_amount", "Gross", "amount"),
            Column("discount_amount", "Discount", "amount"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("effective_discount_rate", "Effective rate", "share"),
            Column("units_per_line", "Units a line", "ratio"),
            Column("units_against_clicked", "Against Clicked", "ratio"),
        ),
        rows=tuple(rows),
        empty="No sales in these months.",
        chart=Chart(
            charts.bars(
                [row["category"] for row in used[:MOST]],
                [("Discount of used coupons", [row["discount_amount"] for row in used[:MOST]])],
                unit="amount",
                across=True,
            ),
            "Discount of used coupons by category, the highest first",
        ),
    )


def delivery(context: Context) -> Block:
    """Return how much delivery costs against what is bought."""
    rows = context.rows(
        "select * from fct_delivery_burden order by net_sales_amount / nullif(transaction_count, 0),"
        " basket_class"
    )
    worst = max(rows, key=lambda row: row["delivery_share"] or 0, default=None)
    said = (
        f"Delivery weighs most on {worst['basket_class'].lower()} baskets:"
        f" {share(worst['delivery_share'] or 0)} on top of the goods."
        if worst
        else "What delivery costs against the goods."
    )
    return Block(
        key="delivery",
        title="Delivery",
        sentence=said,
        definition=(
            "Delivery charges divided by net sales, by the size of the whole transaction (small below 50,"
            " medium below 200, large below 500, extra large above). A transaction is charged once."
        ),
        scope=context.to_date,
        columns=(
            Column("basket_class", "Basket"),
            Column("transaction_count", "Transactions", "count"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("delivery_amount", "Delivery", "amount"),
            Column("delivery_share", "Of revenue", "share"),
        ),
        rows=tuple(rows),
        empty="There are no sales.",
        chart=Chart(
            charts.bars(
                [row["basket_class"] for row in rows],
                [("Delivery, of revenue", [row["delivery_share"] for row in rows])],
                unit="share",
                across=True,
            ),
            "Delivery divided by net sales, by basket size",
        ),
    )


def baskets(context: Context) -> Block:
    """Return what is bought together more often than chance has it."""
    rows = context.rows(
        """
        select
            level, item_a, item_b, basket_count, support, confidence_a_to_b, confidence_b_to_a, lift
        from fct_basket_affinity
        order by level desc, basket_count * (lift - 1) desc, item_a, item_b
        """
    )
    pairs = [row for row in rows if row["level"] == "name"][:10]
    best = pairs[0] if pairs else None
    said = (
        f"{best['item_a']} and {best['item_b']} are in {best['basket_count']:,} baskets together,"
        f" {best['lift']:,.2f} times as often as chance would have it."
        if best
        else "What is bought together."
    )
    return Block(
        key="baskets",
        title="Bought together",
        sentence=said,
        definition=(
            "Pairs of products (by name, without colour and size) and of categories in one order. Lift: how"
            " many times as often as if the two were bought independently. Sorted by the baskets beyond"
            " chance, so that a rare pair with a high lift does not lead. Rare pairs are left out."
        ),
        scope=context.to_date,
        columns=(
            Column("level", "Level"),
            Column("item_a", "Product or category"),
            Column("item_b", "With"),
            Column("basket_count", "Baskets", "count"),
            Column("support", "Of all baskets", "share"),
            Column("confidence_a_to_b", "First → second", "share"),
            Column("confidence_b_to_a", "Second → first", "share"),
            Column("lift", "Lift", "ratio"),
        ),
        rows=tuple(rows),
        empty="No pair is bought together often enough.",
        chart=Chart(
            charts.bars(
                [f"{row['item_a']} + {row['item_b']}" for row in pairs],
                [("Baskets together", [row["basket_count"] for row in pairs])],
                unit="count",
                across=True,
            ),
            "Baskets that hold both products of a pair",
            "tall",
        ),
    )


def categories(context: Context) -> Block:
    """Return revenue by category over the period's months, and why it changed."""
    rows = context.in_period(
        """
        select
            category,
            sum(quantity)::bigint as quantity,
            sum(net_sales_amount) as net_sales_amount,
            (sum(net_sales_amount) / nullif(sum(sum(net_sales_amount)) over (), 0))::double as revenue_share,
            sum(price_effect_amount) as price_effect_amount,
            sum(volume_effect_amount) as volume_effect_amount,
            sum(mix_effect_amount) as mix_effect_amount
        from fct_category_monthly
        where month between date_trunc('month', $first) and $last
        group by category
        order by net_sales_amount desc, category
        """
    )
    said = (
        f"{rows[0]['category']} is the largest category with {share(rows[0]['revenue_share'] or 0)} of the"
        " revenue."
        if rows
        else "Revenue by category."
    )
    return Block(
        key="categories",
        title="Categories",
        sentence=said,
        definition=(
            "Net sales by category. The effects split each month's change against the month before, added up"
            " over the months shown: price (the same units at other prices), volume (more or fewer units at"
            " the same mix), mix (the rest). Months without one before have none."
        ),
        scope=context.months,
        columns=(
            Column("category", "Category"),
            Column("quantity", "Units", "count"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("revenue_share", "Of revenue", "share"),
            Column("price_effect_amount", "By price", "amount"),
            Column("volume_effect_amount", "By volume", "amount"),
            Column("mix_effect_amount", "By mix", "amount"),
        ),
        rows=tuple(rows),
        empty="No sales in these months.",
        chart=Chart(
            charts.bars(
                [row["category"] for row in rows[:MOST]],
                [("Revenue", [row["net_sales_amount"] for row in rows[:MOST]])],
                unit="amount",
                across=True,
            ),
            "Net sales by category, the highest first",
            "tall",
        ),
    )


def products(context: Context) -> Block:
    """Return how few products make most of the revenue."""
    rows = context.rows(
        """
        select
            item, category, quantity, net_sales_amount, revenue_rank, revenue_share,
            cumulative_share, abc_class
        from fct_product_abc
        where level = 'sku'
        order by revenue_rank, item
        """
    )
    best = sum(row["abc_class"] == "A" for row in rows)
    steps = rows[:: max(1, len(rows) // 100)]
    return Block(
        key="products",
        title="Products",
        sentence=f"{best:,} of {len(rows):,} products make 80 % of the revenue.",
        definition=(
            "Products (SKUs) by net sales, the highest first. Class A makes the first 80 % of the revenue, B"
            " up to 95 %, C the rest."
        ),
        scope=context.to_date,
        columns=(
            Column("item", "Product"),
            Column("category", "Category"),
            Column("quantity", "Units", "count"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("revenue_rank", "Rank", "count"),
            Column("revenue_share", "Of revenue", "share"),
            Column("cumulative_share", "With all before", "share"),
            Column("abc_class", "Class"),
        ),
        rows=tuple(rows),
        empty="There are no sales.",
        chart=Chart(
            charts.lines(
                [row["revenue_rank"] for row in steps],
                [("Share of revenue", [row["cumulative_share"] for row in steps])],
                unit="share",
                highest=1,
            ),
            "Share of revenue that the best products make together",
            "short",
        ),
    )


def concentration(context: Context) -> Block:
    """Return how few customers make most of the revenue."""
    rows = context.rows("select * from fct_customer_concentration order by decile")
    said = (
        f"The best tenth of the customers brings {share(rows[0]['revenue_share'])} of the revenue."
        if rows
        else "How much the best customers bring."
    )
    return Block(
        key="concentration",
        title="Concentration",
        sentence=said,
        definition=(
            "Customers by net sales in ten groups of one size, the best first, with each group's share of"
            " revenue."
        ),
        scope=context.to_date,
        columns=(
            Column("decile", "Tenth", "count"),
            Column("customer_count", "Customers", "count"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("revenue_share", "Of revenue", "share"),
            Column("cumulative_share", "With all before", "share"),
        ),
        rows=tuple(rows),
        empty="There are no customers with a purchase.",
        chart=Chart(
            charts.bars(
                [row["decile"] for row in rows],
                [("Share of revenue", [row["revenue_share"] for row in rows])],
                unit="share",
            ),
            "Share of revenue of each tenth of the customers, the best first",
            "short",
        ),
    )


def seasons(context: Context) -> Block:
    """Return which weekdays and months are strong."""
    rows = context.rows("select * from fct_seasonality order by period_kind desc, period_number")
    days = [row for row in rows if row["period_kind"] == "weekday"]
    best = max(days, key=lambda row: row["seasonal_index"] or 0, default=None)
    said = (
        f"{best['period_name']} is the strongest day: {best['seasonal_index']:,.2f} times the mean day."
        if best
        else "Which weekdays and months are strong."
    )
    return Block(
        key="seasons",
        title="Weekdays and months",
        sentence=said,
        definition=(
            "Mean net sales of a day of this kind, divided by the mean of all days: 1.00 is an ordinary day."
            " With one year of data a trend and a season cannot be told apart."
        ),
        scope=context.to_date,
        columns=(
            Column("period_kind", "Kind"),
            Column("period_name", "Weekday or month"),
            Column("day_count", "Days", "count"),
            Column("mean_daily_net_sales_amount", "Mean day", "amount"),
            Column("seasonal_index", "Against the mean", "ratio"),
        ),
        rows=tuple(rows),
        empty="There are no sales.",
        chart=Chart(_index_bars(rows), "Mean day of each weekday and month, against the mean of all days"),
    )


def _index_bars(rows: list[Row]) -> dict[str, object]:
    gap: Row = {"period_name": "", "seasonal_index": None}
    kinds = [[row for row in rows if row["period_kind"] == kind] for kind in ("weekday", "month")]
    shown_rows = [*kinds[0], gap, *kinds[1]]
    return charts.bars(
        [str(row["period_name"])[:3] for row in shown_rows],
        [("Against the mean day", [row["seasonal_index"] for row in shown_rows])],
        unit="ratio",
    )


def places(context: Context) -> Block:
    """Return what each location brings."""
    rows = context.rows("select * from fct_location_performance order by net_sales_amount desc, location")
    whole = sum(row["net_sales_amount"] for row in rows)
    said = (
        f"{rows[0]['location']} brings most, {share(float(rows[0]['net_sales_amount'] / whole))} of the"
        " revenue."
        if whole
        else "What each location brings."
    )
    return Block(
        key="places",
        title="Places",
        sentence=said,
        definition=(
            "Where the customers are, as the shop's file says it: some are cities, some are states, so they"
            " are not alike. The median customer shows what the few best ones hide."
        ),
        scope=context.to_date,
        columns=(
            Column("location", "Place"),
            Column("location_kind", "Kind"),
            Column("customer_count", "Customers", "count"),
            Column("order_count", "Orders", "count"),
            Column("net_sales_amount", "Revenue", "amount"),
            Column("median_net_sales_per_customer", "Median customer", "amount"),
        ),
        rows=tuple(rows),
        empty="There are no customers with a purchase.",
        chart=Chart(
            charts.bars(
                [row["location"] for row in rows[:MOST]],
                [("Revenue", [row["net_sales_amount"] for row in rows[:MOST]])],
                unit="amount",
                across=True,
            ),
            "Net sales by place, the highest first",
        ),
    )
