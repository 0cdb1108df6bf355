-- A step that the other views read: the log with the shop's own day.
--
-- `occurred_at` is an instant (UTC, microseconds). The shop's day is the one of Tokyo: what happened
-- at 2026-11-20T15:00:00Z belongs to 2026-11-21. Two casts make that day: the first one only gives
-- the instant another zone, the second one cuts off the zone's time of day. (AT TIME ZONE, to_char
-- and date_trunc would count in nanoseconds, which end in the year 2262: one wild clock would stop
-- the run.)
--
-- `dt` and `hr` of `logs` are the directory's: when a line arrived, not when its event happened.
SELECT
    CAST(
        CAST(arrow_cast(occurred_at, 'Timestamp(Microsecond, Some("Asia/Tokyo"))') AS DATE) AS TEXT
    ) AS dt,
    * EXCEPT (dt, hr)
FROM logs
