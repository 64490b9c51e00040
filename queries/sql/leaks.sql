-- Sums of pages by a key with the ages of their runs, the largest first. ages: the age of each run, at_ns.
SELECT sums.* EXCLUDE (first_ns, last_ns),
       first_ns                       AS youngest_ns,
       CAST(median_ns AS BIGINT)      AS median_age_ns,
       last_ns                        AS oldest_ns
FROM sums
LEFT JOIN (SELECT key, comm, tgid, median(at_ns) AS median_ns FROM ages GROUP BY key, comm, tgid) AS medians
    ON sums.key IS NOT DISTINCT FROM medians.key
    AND sums.comm IS NOT DISTINCT FROM medians.comm
    AND sums.tgid IS NOT DISTINCT FROM medians.tgid
ORDER BY pages DESC, sums.key, sums.comm, sums.tgid
