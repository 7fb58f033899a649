"""Which part of the broker's work a sample of its CPU time belongs to."""

from __future__ import annotations

import re

# In the order of a packet's way.
BUCKETS = {
    "read": "kernel: read",
    "write": "kernel: write",
    "epoll": "kernel: epoll",
    "wake": "kernel: wake another loop",
    "faults": "kernel: give and take memory",
    "kernel": "kernel: other",
    "turn": "turn of the loop, reading",
    "parse": "parse packets",
    "handle": "handle packets, route",
    "match": "match filters",
    "session": "session",
    "encode": "encode, queue output",
    "between": "between loops",
    "copy": "memcpy, memcmp",
    "pools": "slabs and pools",
    "runtime": "Swift's runtime",
    "other": "other",
}

# Functions of the kernel that a sample is below, the first that fits.
KERNEL = [
    ("wake", r"\beventfd_write\b"),
    (
        "faults",
        r"\b(asm_exc_page_fault|exc_page_fault|__x64_sys_(madvise|mmap|munmap|mremap|brk))\b",
    ),
    ("read", r"\b(__x64_sys_|__sys_|ksys_|do_)(recvfrom|recvmsg|recv|readv?)\b"),
    ("write", r"\b_*(x64_sys_|sys_|ksys_|do_)(sendto|sendmsg|sendmmsg|writev?)\b"),
    ("epoll", r"\b(__x64_sys_|do_)epoll_\w+"),
]

# Names of Swift functions, demangled; the first that fits. Parts of a name that is longer come
# before the module as a whole.
SWIFT = [
    ("between", r"\bNet\.(Mailbox|WakeUp|Passage)|\bLoop\.\(?takeLetters"),
    ("encode", r"\bNet\.Loop\.\(?(write|reserve|commit|flush\w*|gather|advance|awaitWritable|"
               r"writable|freeOutput|pendingOutput|outputCount)\b"),
    ("turn", r"\bNet\."),
    ("encode", r"\bextension in Packet\):Swift\.OutputSpan|\bPacket\.(encode\w*|\w+Header\.layout|"
               r"\w+\.encode\w*|\w+\.layout)"),
    ("parse", r"\bPacket\."),
    ("match", r"\bPubSub\.|\bUtil\.(hash\w*|ByteHash|HashChains|HashSeed)"),
    ("session", r"\bSession\."),
    ("between", r"\bMQTTServer\.(PublishBatch|PublishEnvelope|Letter|Pressure)|"
                r"\bWorker\.\(?(forward|append|postOutbox\w*|post|receive|holdForPressure|"
                r"releasePressed)\b"),
    ("encode", r"\bMQTTServer\.TemplateCache|\bWorker\.\(?(pump|transmit|awaitRoom)\b"),
    ("handle", r"\bMQTTServer\."),
    ("pools", r"\bUtil\."),
]  # fmt: skip

# Modules of names that could not be demangled: `$s`, the length of the module, the module.
MODULES = {
    "Net": "turn", "Packet": "parse", "PubSub": "match", "Session": "session",
    "MQTTServer": "handle", "Util": "pools",
}  # fmt: skip


def bucket_of_kernel(chain: str) -> str:
    """The bucket of a sample in the kernel, from the functions that it was called by."""
    for bucket, pattern in KERNEL:
        if re.search(pattern, chain):
            return bucket
    return "kernel"


def bucket_of_user(name: str, shared_object: str) -> str:
    """The bucket of a sample in the broker or a library, from its function."""
    if re.match(r"_*(mem(cpy|move|cmp|set|chr)|bcmp)", name):
        return "copy"
    if "libswift" in shared_object or name.startswith(("swift_", "_swift_", "__swift_")):
        return "runtime"
    if name.startswith("$s"):
        return _mangled(name)
    function = own_name(name)
    for bucket, pattern in SWIFT:
        if re.search(pattern, function):
            return bucket
    return "other"


def own_name(demangled: str) -> str:
    """The function itself: without the specializations around it, and without its arguments,
    whose types name other modules."""
    text = re.sub(r"\b(generic|function signature) specialization <.*?> of ", "", demangled)
    text = re.sub(r"^.*\bspecialization <.*> of ", "", text)
    closure = re.match(r"^(?:implicit )?closure #.*\bin (\S.*)$", text)
    if closure:
        text = closure.group(1)
    text = re.sub(r"^(outlined \w+( of)?( destroy of)?|static|merged) ", "", text)
    extension = re.match(r"^(\(extension in \w+\):\S+)", text)
    if extension:
        return extension.group(1)
    # A private name is in parentheses itself: `Loop.(reserve in _F9A8…)(…)`.
    private = re.match(r"^([\w.]*\.\(\w+) in \w+\)", text)
    return private.group(1) if private else re.split(r"[(<]", text, maxsplit=1)[0]


def _mangled(symbol: str) -> str:
    found = re.match(r"^\$s(\d+)(.*)$", symbol)
    if not found:
        return "other"
    module = found.group(2)[: int(found.group(1))]
    return MODULES.get(module, "other")
