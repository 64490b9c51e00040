-- Sums of owned pages added up: no block is in two of them. streams: how many of them have the key.
SELECT key,
       CAST(sum(pages) AS BIGINT)         AS pages,
       CAST(sum(bytes) AS BIGINT)         AS bytes,
       CAST(sum(blocks) AS BIGINT)        AS blocks,
       CAST(sum(certain_pages) AS BIGINT) AS certain_pages,
       min(first_ns)                      AS first_ns,
       max(last_ns)                       AS last_ns,
       comm,
       tgid,
       count(*)                           AS streams
FROM sums
GROUP BY key, comm, tgid
ORDER BY pages DESC, key, comm, tgid
