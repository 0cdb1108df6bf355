-- The day's sales by service and tax category.
--
-- It reads the view `purchases`, not the table: an expectation keeps rows out of the table that it
-- stands at and of no other, so what `purchases` refuses must be refused here too.
SELECT
    service,
    category,
    count(DISTINCT event_id) AS orders,
    CAST(sum(quantity) AS BIGINT) AS quantity,
    CAST(sum(amount_yen) AS BIGINT) AS amount_yen,
    -- Goods without a known rate add nothing.
    CAST(coalesce(sum(tax_yen), 0) AS BIGINT) AS tax_yen,
    dt
FROM purchases
WHERE price_yen IS NOT NULL
    AND quantity BETWEEN 1 AND 1000000
    AND amount_yen BETWEEN -1000000000 AND 1000000000
GROUP BY dt, service, category
