-- Owned pages by a key, and by what tells its values apart, the largest first. at_ns: a time of each run; $page_bytes: size of a page.
SELECT key,
       CAST(sum(nr_pages) AS BIGINT)                     AS pages,
       CAST(sum(nr_pages) AS BIGINT) * $page_bytes       AS bytes,
       count(DISTINCT block_pfn)                         AS blocks,
       CAST(coalesce(sum(nr_pages) FILTER (WHERE certain), 0) AS BIGINT) AS certain_pages,
       min(at_ns)                                        AS first_ns,
       max(at_ns)                                        AS last_ns,
       comm,
       tgid
FROM owned
GROUP BY key, comm, tgid
ORDER BY pages DESC, key, comm, tgid
