-- Pages owned at an instant, by one attribute, and by what tells its values apart, the largest first. $page_bytes: size of a page.
SELECT key,
       CAST(sum(nr_pages) AS BIGINT)                     AS pages,
       CAST(sum(nr_pages) AS BIGINT) * $page_bytes       AS bytes,
       count(DISTINCT block_pfn)                         AS blocks,
       CAST(coalesce(sum(nr_pages) FILTER (WHERE certain), 0) AS BIGINT) AS certain_pages,
       min(alloc_ts)                                     AS oldest_ts,
       max(alloc_ts)                                     AS newest_ts,
       comm,
       tgid
FROM owned
GROUP BY key, comm, tgid
ORDER BY pages DESC, key, comm, tgid
