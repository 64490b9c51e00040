-- Pages allocated in a window and alive at its end, by one attribute, and by what tells its values apart. $until: the window's end, ns; $page_bytes: size of a page.
SELECT key,
       CAST(sum(nr_pages) AS BIGINT)                     AS pages,
       CAST(sum(nr_pages) AS BIGINT) * $page_bytes       AS bytes,
       count(DISTINCT block_pfn)                         AS blocks,
       CAST(coalesce(sum(nr_pages) FILTER (WHERE certain), 0) AS BIGINT) AS certain_pages,
       $until - max(born_ts)                             AS youngest_ns,
       CAST(median($until - born_ts) AS BIGINT)          AS median_age_ns,
       $until - min(born_ts)                             AS oldest_ns,
       comm,
       tgid
FROM owned
GROUP BY key, comm, tgid
ORDER BY pages DESC, key, comm, tgid
