-- What was bought, one row an item, with its tax.
--
-- Lists side by side in one SELECT are unnested together: each item meets its number, so that
-- (event_id, item_number) names a row, and what led it into the cart, which the collector tells for
-- each of the first 200 items in their order, whatever the shop calls them. Where the log has no
-- such list, or one that leaves items out (as collectors wrote once that knew items by their `sku`
-- only), what led to the event counts for each item.
--
-- An order whose items are missing, or no list of items, is one row without a price: an expectation
-- refuses it, so that it is in the quarantine and not just gone.
WITH bought_items AS (
    SELECT
        dt,
        occurred_at,
        event_id,
        order_id,
        service,
        pseudonymize(user_id, 'visitor') AS user_pseudonym,
        visit_id,
        visitor_id,
        geoip_country(ip) AS country,
        via_channel,
        via_campaign,
        coalesce(
            CAST(cardinality(item_via) AS BIGINT)
            <> least(CAST(cardinality(items) AS BIGINT), 200),
            true
        ) AS is_one_way,
        payment,
        points,
        shipping_fee,
        deliver_on,
        invoice_tax(items, occurred_at) AS order_tax_yen,
        unnest(items) AS item,
        unnest(item_ways(item_via)) AS way,
        unnest(range(1, coalesce(CAST(cardinality(items) AS BIGINT), 1) + 1)) AS item_number,
        _source,
        _line
    FROM shop_logs
    WHERE event = 'purchase'
)

SELECT
    event_id,
    item_number,
    occurred_at,
    order_id,
    service,
    user_pseudonym,
    visit_id,
    visitor_id,
    country,
    -- What led the item into the cart.
    CASE WHEN is_one_way THEN via_channel ELSE way['channel'] END AS via_channel,
    CASE WHEN is_one_way THEN via_campaign ELSE way['campaign'] END AS via_campaign,
    payment,
    points,
    shipping_fee,
    deliver_on,
    item['sku'] AS sku,
    item['name'] AS name,
    item['category'] AS category,
    item['price'] AS price_yen,
    item['quantity'] AS quantity,
    item['amount'] AS amount_yen,
    -- The category's rate on that day in Tokyo; NULL for a category that the tax table lacks.
    tax_rate(item['category'], occurred_at) AS tax_rate,
    -- Rounded down for each item: for sums by item, service and category.
    consumption_tax(item['amount'], item['category'], occurred_at) AS tax_yen,
    -- The whole order's, as its invoice says it: rounded once per rate, and so up to some yen more
    -- than the items' together. It stands in each row of the order: do not add it up.
    order_tax_yen,
    $currency AS currency,
    dt,
    _source,
    _line
FROM bought_items
