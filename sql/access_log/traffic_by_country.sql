-- Traffic by day and country; NULL is where no database knows the address.
--
-- It reads the view `requests`, not the table: an expectation keeps rows out of the table that it
-- stands at and of no other, so what `requests` refuses must be refused here too.
SELECT
    country,
    count(*) AS requests,
    count(DISTINCT remote_ip) AS addresses,
    CAST(coalesce(sum(bytes), 0) AS BIGINT) AS bytes,
    count(*) FILTER (WHERE bot) AS bot_requests,
    count(*) FILTER (WHERE status >= 500) AS failed_requests,
    dt
FROM requests
WHERE status BETWEEN 100 AND 599
GROUP BY dt, country
