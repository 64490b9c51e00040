-- The parts of an answer of top.sql added up: no block is in two of them.
SELECT key,
       CAST(sum(pages) AS BIGINT)         AS pages,
       CAST(sum(bytes) AS BIGINT)         AS bytes,
       CAST(sum(blocks) AS BIGINT)        AS blocks,
       CAST(sum(certain_pages) AS BIGINT) AS certain_pages,
       min(oldest_ts)                     AS oldest_ts,
       max(newest_ts)                     AS newest_ts,
       comm,
       tgid
FROM sums
GROUP BY key, comm, tgid
ORDER BY pages DESC, key, comm, tgid
