"""The topic of a log: its settings with the reason for each, and its partitions."""

from pagetrail import api


def topic_text(report: "api.TopicReport") -> str:
    """Return what a topic is."""
    settings = [
        ("partitions", str(len(report.partitions)), api.PARTITIONS_WHY),
        ("replication", str(report.replication), api.REPLICATION_WHY),
        *((name, report.settings[name], why) for name, why in api.SETTINGS_WHY.items() if name in report.settings),
    ]
    lines = [report.log, *(f"  {name} = {value}\n      {why}" for name, value, why in settings)]
    lines.append("  partition  leader  in sync  first offset  next offset")
    for part in report.partitions:
        leader = "none" if part.leader is None else part.leader
        copies = f"{part.in_sync}/{part.replicas}"
        lines.append(f"  {part.partition:>9}  {leader:>6}  {copies:>7}  {part.low:>12}  {part.high:>11}")
    return "\n".join(lines) + "\n"
