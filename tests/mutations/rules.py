"""The rules of the fold, each with a change of its source that disables it, and the tests that are to notice."""

from dataclasses import dataclass

ORACLE = ("tests/replay/fold/test_fold.py",)
STORIES = ("tests/properties/test_model_kernel_found.py",)
FOLD = "pagetrail.replay.fold.fold_jit"
BLOCK = "pagetrail.replay.fold.block_jit"
MIGRATE = "pagetrail.replay.fold.migrate_jit"
END = "pagetrail.replay.fold.end_jit"
SKEW = "pagetrail.replay.fold.skew_jit"
NOTICE = "pagetrail.replay.fold.notice_jit"
RECORD = "pagetrail.replay.fold.records.record_jit"
SECTIONS = "pagetrail.replay.fold.section_jit"
BASELINE = "pagetrail.replay.rules.page_owner_baseline"
ENGINE = "pagetrail.replay.rules.engine"
STATE = "pagetrail.replay.rules.state"
RARE = "pagetrail.replay.rules.rare_events"
BOOT = "pagetrail.replay.rules.boot"
CALLS = "pagetrail.replay.rules.hotplug"
NOTIFIER = "pagetrail.schemas.linux.memory_notify"
HOTPLUG = ("tests/replay/rules/test_memory_notifier.py",)
LOSSES = ("tests/queries/test_losses.py",)
MOVED_LOSSES = ("tests/queries/test_losses_that_move.py",)
DUMPS = ("tests/queries/test_dumps.py",)
FRAMES = ("tests/replay/run/test_frames_of_the_log.py::test_missing_frames_are_a_gap_between_their_neighbours",)


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A rule as docs/rules.md names it, the text of *module* that is replaced, by what, and the tests that hold the rule."""

    name: str
    rule: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...] = ORACLE

    def changed(self, source: str) -> str:
        """Return *source* with the rule disabled; what is changed has to be there, and once."""
        assert source.count(self.old) == 1, (
            f"{self.name}: {source.count(self.old)} times in {self.module}: {self.old!r}"
        )
        return source.replace(self.old, self.new)


MUTATIONS = (
    Mutation(
        name="alloc-head-only", rule="alloc sets the owner on every page of the block", module=BLOCK,
        old='    row[first : first + nr] = handle\n', new='    row[first : first + 1] = handle\n',
    ),
    Mutation(
        name="free-head-only", rule="free clears its whole range, whatever was known of it", module=BLOCK,
        old='    stop = first + nr\n    i = first\n    while i < stop:\n        length = run_length(row, i, stop)\n'
        '        handle = row[i]\n        unordered',
        new='    stop = first + 1\n    i = first\n    while i < stop:\n        length = run_length(row, i, stop)\n'
        '        handle = row[i]\n        unordered',
    ),
    Mutation(
        name="drain-says-nothing", module=FOLD,
        rule="a drained page is not allocated; its page_ext is not touched, so a ghost keeps its stamp in the kernel's view",
        old="        elif kind in (_FREE, _DRAIN, _REFILL):\n", new="        elif kind in (_FREE, _REFILL):\n",
    ),
    Mutation(
        name="ghost-forgotten", module=BLOCK,
        rule="a drained page is not allocated; its page_ext is not touched, so a ghost keeps its stamp in the kernel's view",
        old="                if is_early_stamp(t, o, handle):\n", new="                if False:\n",
    ),
    Mutation(
        name="refill-says-nothing", module=FOLD,
        rule="a block that goes to a per-cpu list was in the buddy allocator: it is not allocated",
        old="        elif kind in (_FREE, _DRAIN, _REFILL):\n", new="        elif kind in (_FREE, _DRAIN):\n",
    ),
    Mutation(
        name="ghosts-always-listed", module=FOLD,
        rule="a dump does not list a ghost while it is in the buddy allocator, and lists it again on a per-cpu list",
        old="            if kind != _FREE and o[OPT_REFILL_COVERED] != 0:\n", new="            if False:\n",
    ),
    Mutation(
        name="batched-counted-too", module="pagetrail.producers.formats.text.payloads",
        rule="`mm_page_free_batched` comes in addition to `mm_page_free`: count one",
        old="    return _COMPILED.get(name, RARE", new='    return _COMPILED.get(name.removesuffix("_batched"), RARE',
        tests=("tests/producers/formats/test_ftrace_text.py::test_kernel_equals_reference_on_the_sample",),
    ),
    Mutation(
        name="split-ignored", module=FOLD,
        rule="split sets order 0 on a range, and shows that it is owned; from 6.12 on it may set another order",
        old="        elif kind == _SPLIT:\n            split_block(", new="        elif kind == -99:\n            split_block(",
    ),
    Mutation(
        name="partial-free-implies-nothing", module=END,
        rule="a partial free implies a split, unless splits are covered",
        old="    if rest > 0 and whole and o[OPT_SPLIT_COVERED] == 0:\n", new="    if False:\n",
    ),
    Mutation(
        name="covered-split-implied", module=END,
        rule="a partial free implies a split, unless splits are covered",
        old="    if rest > 0 and whole and o[OPT_SPLIT_COVERED] == 0:\n", new="    if rest > 0 and whole:\n",
    ),
    Mutation(
        name="migration-copies-nothing", module=MIGRATE,
        rule="migration copies the old owner, with its time, to the new head; up to 6.1 the tails keep the migrator's",
        old="        copy_record(t, target, source, src_pfn)\n    else:\n", new="        blank(t, target)\n    else:\n",
    ),
    Mutation(
        name="migration-copies-tails", module=MIGRATE,
        rule="migration copies the old owner, with its time, to the new head; up to 6.1 the tails keep the migrator's",
        old="    if o[OPT_MIGRATION_WRITES_TAILS] == _NO or row[i] < 0:\n", new="    if row[i] < 0:\n",
    ),
    Mutation(
        name="migration-copies-no-tails", module=MIGRATE,
        rule="from 6.12 on, migration copies the old owner to every page of the new block; between 6.1 and 6.12 the tails are not "
        "certain",
        old="    if o[OPT_MIGRATION_WRITES_TAILS] == _NO or row[i] < 0:\n", new="    if True:\n",
    ),
    Mutation(
        name="tails-are-certain-in-between", module=MIGRATE,
        rule="from 6.12 on, migration copies the old owner to every page of the new block; between 6.1 and 6.12 the tails are not "
        "certain",
        old="    if nr > surely:\n", new="    if False:\n",
        tests=STORIES,
    ),
    Mutation(
        name="ranges-have-no-owner", module=RARE,
        rule="from 6.12 on, a contiguous range has its caller as owner, with the caller's mask, when the call returns 0",
        old="    elif ret == 0:\n", new="    elif False:\n",
    ),
    Mutation(
        name="ranges-are-stamped-either-way", module=RARE,
        rule="of a kernel that may stamp a contiguous range in either way, the range is in doubt when the call returns 0",
        old="    if ret == 0 and state.facts.rules.contig_has_own_mask == Either.UNKNOWN:\n", new="    if False:\n",
    ),
    Mutation(
        name="ranges-are-taken-by-calls-that-failed", module=RARE,
        rule="from 6.12 on, a contiguous range has its caller as owner, with the caller's mask, when the call returns 0",
        old="    elif ret == 0:\n", new="    elif True:\n",
        tests=STORIES,
    ),
    Mutation(
        name="no-pid-is-another-pid", module=BASELINE,
        rule="a dump without pids and times contradicts none, and its early stamps have none",
        old='    return np.asarray((ours["pid"] == entries.pid) | (entries.pid == ABSENT32))\n',
        new='    return np.asarray(ours["pid"] == entries.pid)\n',
    ),
    Mutation(
        name="isolation-ignored", module=FOLD,
        rule="isolated free pages get an owner with gfp 0x8; an allocation event that follows belongs to the same isolation",
        old="        if kind in (_ALLOC, _ISOLATE):\n", new="        if kind == _ALLOC:\n",
    ),
    Mutation(
        name="isolation-and-allocation-are-two", module=BLOCK,
        rule="isolated free pages get an owner with gfp 0x8; an allocation event that follows belongs to the same isolation",
        old="            quiet = there\n", new="            quiet = np.int32(-2)\n",
    ),
    Mutation(
        name="alloc-over-owned-unnoticed", module=END,
        rule="an allocation over owned pages implies a lost free, and casts doubt back to their last evidence",
        old='                doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, _A_OVER_OWNED)\n',
        new="                pass\n",
    ),
    Mutation(
        name="free-of-free-unnoticed", module=BLOCK,
        rule="a free, split or migration of free pages implies a lost allocation, and casts doubt back to their last evidence",
        old='            doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, _A_FREE_OF_FREE)\n',
        new="            pass\n",
    ),
    Mutation(
        name="use-of-free-unnoticed", module=END,
        rule="a free, split or migration of free pages implies a lost allocation, and casts doubt back to their last evidence",
        old='    doubt(t, base + i, length, evidence_ts_of(t, handle), ts, seq, _A_USE)\n', new="    pass\n",
    ),
    Mutation(
        name="a-reason-is-not-noted", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old='        r["migrate_reason"] = reason\n', new="        pass\n",
    ),
    Mutation(
        name="a-reason-is-not-noted-with-the-copy", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old="            note_reason(t, row, i, base, reason)\n", new="            pass\n",
    ),
    Mutation(
        name="a-reason-is-every-pages", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old='    if t.records[handle]["pages"] > 1:\n', new="    if False:\n",
    ),
    Mutation(
        name="a-reason-began-with-its-owner", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old="        if begin_seq_of(t, handle) == seq:",
        new='        if True:\n            t.records[handle]["migrate_reason"] = reason\n            continue\n        if False:',
    ),
    Mutation(
        name="a-reason-gives-a-free-page-an-owner", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old='if handle < 0 or t.records[handle]["state"] != _OWNED or t', new="if handle < 0 or t",
    ),
    Mutation(
        name="a-reason-hides-that-clocks-differ", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old='        if unordered:\n', new="        if False:\n",
    ),
    Mutation(
        name="an-earlier-reason-is-the-heads-too", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old="    note_reason(t, row, i, pfn - i, ABSENT8)\n", new="    pass\n",
    ),
    Mutation(
        name="an-earlier-reason-is-the-kernels-heads-too", module=MIGRATE,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old="        note_reason(t, t.kernel[slot], i, pfn - i, ABSENT8)\n", new="        pass\n",
    ),
    Mutation(
        name="a-reason-copies-too", module=FOLD,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old="            if src != pfn or reason == ABSENT8:\n", new="            if True:\n",
    ),
    Mutation(
        name="a-reason-is-a-move", module=FOLD,
        rule="the reason of a migration belongs to the owner of the first page of the new block, from its event on; other pages "
        "that a migration writes have the old block's; a page that is free again stays free",
        old="        only_says_why = kind == _MIGRATE and e.src_pfn[i] == pfn and e.migrate_reason[i] != ABSENT8\n",
        new="        only_says_why = False\n",
        tests=STORIES,
    ),
    Mutation(
        name="a-split-makes-surer", module=RECORD,
        rule="a split and a migration pass on the evidence with its original time",
        old="    begin_now(t, handle, seq, ts)\n    if order > 0:\n",
        new='    begin_now(t, handle, seq, ts)\n    draft_of(t, handle)["evidence_ts"] = ts\n    if order > 0:\n',
        tests=(*STORIES, *ORACLE),
    ),
    Mutation(
        name="a-migration-makes-surer", module=MIGRATE,
        rule="a split and a migration pass on the evidence with its original time",
        old='    r["evidence"] = _OBSERVED if proven else _INFERRED\n    r["how"] = _H_MIGRATE\n',
        new='    r["evidence"] = _OBSERVED if proven else _INFERRED\n    d["evidence_ts"] = ts\n    r["how"] = _H_MIGRATE\n',
        tests=(*STORIES, *ORACLE),
    ),
    Mutation(
        name="any-dump-proves-tails", module=SECTIONS,
        rule="a dump sets, confirms and corrects heads; tails only of compound blocks that were not migrated",
        old='    whole = (b.gfp_mask[i] & o[OPT_GFP_COMP]) != 0 and b.migrate_reason[i] < 0\n', new='    whole = True\n',
        tests=(*STORIES, *ORACLE),
    ),
    Mutation(
        name="a-dump-corrects-nothing", module=BASELINE,
        rule="a dump sets, confirms and corrects heads; tails only of compound blocks that were not migrated",
        old="    action[~agree] = SET\n", new="    pass\n",
    ),
    Mutation(
        name="what-moved-is-corrected", module=BASELINE,
        rule="pages touched since the reading of a dump began are left as they are",
        old="    action[c.touched] = LEAVE\n", new="    pass\n",
    ),
    Mutation(
        name="silence-says-nothing", module="pagetrail.replay.rules.baselines",
        rule="a page that a dump does not list is not set free; it is put in doubt, unless the dump is partial",
        old="        some = extra[there] if whole else extra", new="        some = extra[:0]",
    ),
    Mutation(
        name="a-partial-dump-is-no-other", module="pagetrail.replay.rules.baselines",
        rule="a page that a dump does not list is not set free; it is put in doubt, unless the dump is partial",
        old='    if opened.begin.skipped or opened.begin.extent == "partial":\n', new="    if opened.begin.skipped:\n",
    ),
    Mutation(
        name="a-whole-dump-is-silent", module="pagetrail.replay.rules.baselines",
        rule="what only an earlier dump listed is unknown after a whole dump that does not list it",
        old="        apply_silence(state.tables, slot, section_nr * pages, generation, names, seq, ts)\n", new="        pass\n",
        tests=(*ORACLE, *DUMPS),
    ),
    Mutation(
        name="named-losses-are-nothing", module=RARE, rule="a loss that names its pages puts these in doubt, and no others",
        old="        state.lose_pages(first, nr_pages, event.seq, event.ts, gap)\n", new="        pass\n",
        tests=(*ORACLE, *LOSSES),
    ),
    Mutation(
        name="copies-are-sure", module=MIGRATE,
        rule="a migration copies a doubt that lasts with the owner: of a loss that names the old page, or a dump without it",
        old="    doubted = is_doubted(t, src_slot, src_i)\n", new="    doubted = False\n", tests=(*MOVED_LOSSES, *ORACLE),
    ),
    Mutation(
        name="doubts-outlive-what-they-concern", module=NOTICE,
        rule="a migration copies a doubt that lasts with the owner: of a loss that names the old page, or a dump without it",
        old="            row[j] = ts if unsure else NO_EVENT\n", new="            row[j] = ts if unsure else row[j]\n",
        tests=(*MOVED_LOSSES, *ORACLE),
    ),
    Mutation(
        name="losses-come-when-they-are-told", module=STATE,
        rule="a loss that names its pages may have come before migrations that were read before its report: their copies are in "
        "doubt; where not all of them are remembered, all pages are",
        old="        forgotten = doubt_moves(self.tables, pfn, nr_pages, gap.t_lo - skew, ts, seq)\n",
        new="        forgotten = False\n", tests=(*MOVED_LOSSES, *ORACLE),
    ),
    Mutation(
        name="all-migrations-are-remembered", module=NOTICE,
        rule="a loss that names its pages may have come before migrations that were read before its report: their copies are in "
        "doubt; where not all of them are remembered, all pages are",
        old="    return last >= rows and first == last - rows\n", new="    return False\n", tests=MOVED_LOSSES,
    ),
    Mutation(
        name="ranges-are-never-taken", module=RARE,
        rule="the pages of a range that is allocated as a whole are in doubt until the call returns",
        old="    state.facts.open_ranges[pid] = opened\n", new="    pass\n",
        tests=(*ORACLE, *LOSSES),
    ),
    Mutation(
        name="ranges-of-6-1-need-their-return", module=RARE,
        rule="the pages of a range that is allocated as a whole are in doubt until the call returns",
        old="    if state.facts.rules.contig_has_own_mask == Either.NO:\n", new="    if False:\n",
        tests=(*ORACLE, *LOSSES),
    ),
    Mutation(
        name="old-readers-read-all", module=RARE,
        rule="what an older reader did not understand may have been anywhere in its recording",
        old="    if not recording.tells_losses and (why := ", new="    if False and (why := ", tests=LOSSES,
    ),
    Mutation(
        name="any-stack-agrees", module=BASELINE,
        rule="two dumps without times whose stacks differ on a page list two allocations",
        old="        & ~_other_stack(ours, entries)\n", new="", tests=("tests/queries/test_dump_again.py",),
    ),
    Mutation(
        name="an-agreeing-dump-leaves-inferences", module=SECTIONS,
        rule="a dump that agrees makes certain what was inferred, or unordered within the skew",
        old='    if r["evidence"] == _INFERRED:\n        r["evidence"] = _BASELINE\n', new="",
    ),
    Mutation(
        name="an-agreeing-dump-leaves-the-order", module=BASELINE,
        rule="a dump that agrees makes certain what was inferred, or unordered within the skew",
        old='    sure = (c.ours["evidence"] != Evidence.INFERRED) & (c.ours["unordered"] == 0)\n',
        new='    sure = c.ours["evidence"] != Evidence.INFERRED\n',
    ),
    Mutation(
        name="early-stamps-overrule", module=BASELINE,
        rule="early stamps and ghosts are kept beside what is proven",
        old="    action[early_clash & ~agree] = KERNEL_VIEW\n", new="    pass\n",
    ),
    Mutation(
        name="stamps-of-free-pages-are-sure", module=SECTIONS,
        rule="the early stamp of a page last seen free is inferred: the page is a ghost, or was allocated in bulk",
        old='    if early and row[first] >= 0 and t.records[row[first]]["state"] == _FREED:\n', new="    if False:\n",
    ),
    Mutation(
        name="stamps-told-again-are-sure", module=BASELINE,
        rule="a stamp that a later dump repeats proves no more than before",
        old='    action[agree & c.early & (c.ours["evidence"] == Evidence.INFERRED)] = LEAVE', new="    pass",
        tests=STORIES,
    ),
    Mutation(
        name="any-flag-proves-freedom", module="pagetrail.replay.rules.free_baseline",
        rule="only the BUDDY bit proves that a page is free",
        old="        while first >= 0 and bits & KPF_BUDDY and first < stop:\n", new="        while first >= 0 and first < stop:\n",
    ),
    Mutation(
        name="buddy-proves-nothing", module="pagetrail.replay.rules.free_baseline",
        rule="only the BUDDY bit proves that a page is free",
        old="        while first >= 0 and bits & KPF_BUDDY and first < stop:\n", new="        while False:\n",
    ),
    Mutation(
        name="a-large-block-ends-with-its-section", module=BASELINE,
        rule="a block larger than a section is kept in a part for each section; of one that is not compound, only the first",
        old="    sections = np.where((large > 1) & whole, large, 1)\n", new="    sections = np.where((large > 1) & whole, 1, 1)\n",
    ),
    Mutation(
        name="nothing-is-impossible", module=FOLD,
        rule="an impossible event (unaligned, beyond the machine, no such order) is quarantined, and casts doubt",
        old="    if pfn & (nr - 1) and (nr & (nr - 1)) == 0:\n        return _A_UNALIGNED\n", new="",
    ),
    Mutation(
        name="impossible-without-doubt", module=FOLD,
        rule="an impossible event (unaligned, beyond the machine, no such order) is quarantined, and casts doubt",
        old="            if 0 <= pfn < o[OPT_MAX_PFN]:\n", new="            if False:\n",
    ),
    Mutation(
        name="two-cpus-are-in-order", module=SKEW,
        rule="of two CPUs' events on a page within the clock skew, either may be the last one",
        old="    if o[OPT_SKEW] <= 0:\n        return False\n", new="    return False\n",
        tests=(*STORIES, *ORACLE),
    ),
    Mutation(
        name="a-copy-is-as-sure-as-its-source", module=FOLD,
        rule="what a migration copied from a page is not certain when another CPU's event on that page is within the skew",
        old="            recheck_moves(", new="            _ = (",
    ),
    Mutation(
        name="an-online-never-fails", module=NOTIFIER,
        rule="the notifier's six actions are inferred from the calls, their ranges and their results",
        old="        return MemoryAction.MEM_CANCEL_ONLINE if seen.ret else MemoryAction.MEM_ONLINE\n",
        new="        return MemoryAction.MEM_ONLINE\n", tests=(*HOTPLUG, *ORACLE),
    ),
    Mutation(
        name="memory-that-comes-is-the-old-one", module=NOTIFIER,
        rule="MEM_GOING_ONLINE allocates extensions one by one; an existing one is kept, unless its pages have been in use",
        old="        if known is ExtensionState.USED:\n",
        new="        if known is ExtensionState.USED:\n            continue\n        if 0:\n",
        tests=(*HOTPLUG, *ORACLE),
    ),
    Mutation(
        name="nothing-is-rolled-back", module=NOTIFIER,
        rule="a failed MEM_GOING_ONLINE, and the MEM_CANCEL_ONLINE that follows, free all extensions of the range, older ones too",
        old='    return offline_page_ext(sections, extension, why="cancelled")\n', new="    return []\n",
        tests=(*HOTPLUG, *ORACLE),
    ),
    Mutation(
        name="no-call-is-refused", module=NOTIFIER,
        rule="a call whose range is not whole pageblocks, or ends within a section, never reaches the notifier",
        old="    return nr_pages <= 0 or pfn % pageblock_pages != 0 or (pfn + nr_pages) % pages_per_section != 0\n",
        new="    return False\n", tests=(*HOTPLUG, *ORACLE),
    ),
    Mutation(
        name="a-missing-result-is-success", module=CALLS, rule="after a return whose result was not recorded, nothing is certain",
        old="    if seen.ret is None or state.losses", new="    if state.losses", tests=(*HOTPLUG, *ORACLE),
    ),
    Mutation(
        name="nothing-goes-offline", module=NOTIFIER,
        rule="MEM_OFFLINE frees the extensions; spans still open end there. MEM_ONLINE, MEM_GOING_OFFLINE and "
        "MEM_CANCEL_OFFLINE change nothing",
        old="        return offline_page_ext(sections, extension, why=why)\n", new="        return []\n",
        tests=(*HOTPLUG, *ORACLE),
    ),
    Mutation(
        name="generations-are-one", module="pagetrail.replay.rules.sections",
        rule="an extension that is allocated again is another generation, with nothing of the old",
        old="        generation = 1 + self._last.get(section_nr, _NEVER)[0]\n",
        new="        generation = 1\n",
    ),
    Mutation(
        name="flatmem-is-sparsemem", module=BOOT,
        rule="a FLATMEM kernel has one extension per node, from boot on; events beyond the nodes, and hotplug, are quarantined",
        old='    if boot.memory_model == "FLATMEM":\n', new="    if False:\n",
        tests=("tests/replay/rules/test_flatmem.py", *ORACLE),
    ),
    Mutation(
        name="what-went-is-there", module="pagetrail.replay.rules.sections", rule="a page without an extension is absent, not free",
        old="        tables.slot[section_nr] = -1\n", new="",
        tests=(*HOTPLUG, *ORACLE),
    ),
    Mutation(
        name="every-client-is-needed", module="pagetrail.replay.rules.page_values",
        rule="clients of page_ext are those that are needed; the extension's size follows from them",
        old="        new = [c for c in self._clients if c not in self.needed and c.need(boot)]\n",
        new="        new = [c for c in self._clients if c not in self.needed]\n",
        tests=("tests/replay/rules/test_clients.py::test_a_client_that_is_not_needed_holds_nothing",),
    ),
    Mutation(
        name="flags-are-not-set", module="pagetrail.replay.fold.value_jit",
        rule="poison and guard flags are those of the last event that reported them; they go with the extension, and a fresh one "
        "has none",
        old="        v.value[field, slot, first : first + nr] = events.value[i]\n", new="        pass\n",
        tests=("tests/replay/rules/test_clients.py::test_flags_go_with_their_extension_and_the_next_one_has_none", *ORACLE),
    ),
    Mutation(
        name="calls-under-way-are-safe", module=CALLS,
        rule="between entry and return of a hotplug call its range is in doubt",
        old="        doubt(state.tables, seen.pfn, seen.nr_pages, entry.ts, seen.ts, seen.seq, DOUBT_HOTPLUG)\n",
        new="        pass\n",
    ),
    Mutation(
        name="opened-silently", module=STATE, rule="any other event in a section that is not there opens the section, as inferred",
        old="        note(self.tables, int(Anomaly.SECTION_OPENED), self.facts.pages_per_section, seq)\n", new="",
    ),
    Mutation(
        name="what-went-may-be-back", module=STATE,
        rule="an event in a section that went, and whose return would have been recorded, is quarantined",
        old="        return Anomaly.SECTION_GONE if gone else None\n", new="        return None\n",
    ),
    Mutation(
        name="page-ext-keeps-its-blocks", module="pagetrail.replay.rules.own_blocks",
        rule="page_ext's own blocks, taken before page_owner started, are split",
        old="    if len(blocks) != boot.page_ext_bytes // table_bytes:\n", new="    if True:\n", tests=STORIES,
    ),
    Mutation(
        name="any-block-is-page-exts", module="pagetrail.replay.rules.own_blocks",
        rule="page_ext's own blocks, taken before page_owner started, are split",
        old="    if len(blocks) != boot.page_ext_bytes // table_bytes:\n", new="    if False:\n", tests=STORIES,
    ),
    Mutation(
        name="missing-frames-are-nothing", module=ENGINE, rule="frames missing from the log become a gap",
        old="            self._hole(recording, header)\n", new="            pass\n", tests=FRAMES,
    ),
    Mutation(
        name="recordings-without-a-gap", module=RARE, rule="between two recordings of one boot there is a gap",
        old="    if state.last_ts is not None:\n        lost = Gap(", new="    if False:\n        lost = Gap(",
    ),
)  # fmt: skip
