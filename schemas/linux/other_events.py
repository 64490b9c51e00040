"""Events that say nothing new of a page's owner, although their name or their fields look as if they did.

Source: include/trace/events, fs and drivers (Linux 6.1), with the names that 5.10 and releases up to 7.2 have besides.
"""

from typing import Final

from pagetrail.schemas.linux.kmem_events import (
    MM_PAGE_ALLOC_EXTFRAG,
    MM_PAGE_ALLOC_ZONE_LOCKED,
    MM_PAGE_FREE_BATCHED,
)

TELLING_WORDS: Final = ("alloc", "free", "migrat")
"""A name that has one of these may tell of a page's owner."""

NOTHING_NEW: Final = frozenset(
    {
        # include/trace/events/kmem.h: objects of the slab allocator, and what comes in addition to an event of its own
        MM_PAGE_FREE_BATCHED, "kmalloc", "kmalloc_node", "kfree", "kmem_cache_alloc", "kmem_cache_alloc_node", "kmem_cache_free",
        "mm_alloc_contig_migrate_range_info",
        # migrate.h and compaction.h: sums and page tables; the pages that move are the probe's on page_owner
        "mm_migrate_pages", "mm_migrate_pages_start", "set_migration_pte", "set_migration_pmd", "remove_migration_pte",
        "remove_migration_pmd", "mm_compaction_begin", "mm_compaction_end", "mm_compaction_isolate_freepages",
        "mm_compaction_isolate_migratepages", "mm_compaction_migratepages", "mm_compaction_fast_isolate_freepages",
        # cma.h and page_isolation.h: the pages have events of their own
        "cma_alloc", "cma_alloc_busy_retry", "cma_alloc_finish", "cma_alloc_start", "cma_release", "test_pages_isolated",
        # filemap.h, huge_memory.h, pagemap.h, vmscan.h, page_ref.h, page_pool.h: users of pages, not owners
        "mm_filemap_add_to_page_cache", "mm_filemap_delete_from_page_cache", "mm_collapse_huge_page_isolate",
        "mm_khugepaged_scan_file", "mm_khugepaged_scan_pmd", "mm_khugepaged_collapse_file", "mm_lru_activate", "mm_lru_insertion",
        "mm_vmscan_write_folio", "mm_vmscan_writepage", "page_pool_state_hold", "page_pool_state_release", "page_ref_freeze",
        "page_ref_mod", "page_ref_mod_and_return", "page_ref_mod_and_test", "page_ref_mod_unless", "page_ref_set",
        "page_ref_unfreeze",
        # vmalloc.h, percpu.h: ranges of addresses
        "alloc_vmap_area", "free_vmap_area_noflush", "percpu_alloc_percpu", "percpu_alloc_percpu_fail", "percpu_free_percpu",
        # mm/page_owner.c, __set_page_owner_migrate_reason: a probe of that name is read; readers before version 5 ignored it
        "migrate_reason",
        # tools/perf/util/parse-events.c, event_symbols_sw: threads that change the CPU
        "cpu-migrations", "migrations",
        # other subsystems, whose names have no prefix of their own
        "alloc_extent_state", "free_extent_state", "find_free_extent", "kfree_skb", "kmem_alloc", "module_free",
        "sched_migrate_task", "sched_process_free", "svc_alloc_arg_err", "qgroup_meta_free_all_pertrans", "rpc_buf_alloc",
    }
)  # fmt: skip
"""Names without their group."""

NOTHING_NEW_PREFIXES: Final = (
    "amdgpu_", "ata_", "bcache_", "binder_", "btrfs_", "cdns3_", "cdnsp_", "cgroup_", "cq_", "ctrl_packet_", "dma_", "dwc3_",
    "ext4_", "f2fs_", "falloc_", "funeth_", "gfs2_", "habanalabs_", "hfi1_", "hugetlbfs_", "i915_", "intel_", "irdma_",
    "irq_matrix_", "layoutstate_", "mac_", "mlx5_", "mlxsw_", "mr_", "mtu3_", "musb_", "netfs_", "nfs4_", "nfsd_", "nilfs2_",
    "ocfs2_", "ocxl_", "otx2_", "rcu_", "sof_", "spt_", "thermal_", "usb_", "vector_", "virtio_", "xchk_", "xen_", "xfs_",
    "xhci_", "xprtrdma_", "xrep_",
)  # fmt: skip
"""Beginnings of the names of subsystems that allocate objects, blocks of disks or requests."""


def says_nothing_new(name: str) -> bool:
    """Return whether the event *name* (without its group) is known, and tells nothing new of a page's owner."""
    return name in NOTHING_NEW or name.startswith(NOTHING_NEW_PREFIXES)


def may_change_ownership(name: str) -> bool:
    """Return whether an event that a reader ignored, and of which only the *name* is known, may have changed a page's owner."""
    bare = name.rpartition(":")[2]
    if bare in (MM_PAGE_ALLOC_EXTFRAG, MM_PAGE_ALLOC_ZONE_LOCKED) or says_nothing_new(bare):
        return False
    return any(word in bare.lower() for word in (*TELLING_WORDS, "lost"))
