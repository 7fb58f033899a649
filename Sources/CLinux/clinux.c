#define _GNU_SOURCE
#include "clinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { READY_LIMIT = 1024 };

int clinux_epoll_ctl(int epoll, int operation, int descriptor, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data = {.u64 = data}};
    return epoll_ctl(epoll, operation, descriptor, &event) == 0 ? 0 : errno;
}

int clinux_epoll_wait(int epoll, clinux_ready *ready, int count, int timeout_milliseconds) {
    struct epoll_event events[READY_LIMIT];
    if (count > READY_LIMIT) count = READY_LIMIT;
    int found = epoll_wait(epoll, events, count, timeout_milliseconds);
    if (found < 0) return -errno;
    for (int i = 0; i < found; i++) {
        ready[i].data = events[i].data.u64;
        ready[i].events = events[i].events;
    }
    return found;
}

int clinux_unshare_files(void) { return unshare(CLONE_FILES) == 0 ? 0 : errno; }

void clinux_set_mapped_block_size(int bytes) {
    // Either option alone ends the library's own adaptation of both.
    mallopt(M_MMAP_THRESHOLD, bytes);
    mallopt(M_TRIM_THRESHOLD, bytes);
}

uint64_t clinux_heap_bytes(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

int clinux_eventfd(void) {
    int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return descriptor >= 0 ? descriptor : -errno;
}

int clinux_accept(int listener) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return descriptor >= 0 ? descriptor : -errno;
}

static int fail(int descriptor) {
    int code = errno;
    close(descriptor);
    return -code;
}

int clinux_listen(const char *address, uint16_t port, int backlog, int reuse_port, uint16_t *bound_port) {
    struct sockaddr_storage storage;
    memset(&storage, 0, sizeof storage);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    socklen_t length;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        length = sizeof *v4;
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        length = sizeof *v6;
    } else {
        return -EINVAL;
    }
    int descriptor = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    int on = 1;
    if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return fail(descriptor);
    if (reuse_port && setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        return fail(descriptor);
    if (storage.ss_family == AF_INET6 &&
        setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return fail(descriptor);
    // Accepted sockets inherit it: one system call less for each client.
    if (setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return fail(descriptor);
    if (bind(descriptor, (struct sockaddr *)&storage, length) != 0) return fail(descriptor);
    if (backlog > 0 && listen(descriptor, backlog) != 0) return fail(descriptor);
    length = sizeof storage;
    if (getsockname(descriptor, (struct sockaddr *)&storage, &length) != 0) return fail(descriptor);
    *bound_port = ntohs(storage.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
    return descriptor;
}

static socklen_t parse_address(const char *address, uint16_t port, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof *storage);
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    return 0;
}

int clinux_connect(const char *address, uint16_t port, const char *source) {
    struct sockaddr_storage target, from;
    socklen_t length = parse_address(address, port, &target);
    if (length == 0) return -EINVAL;
    int descriptor = socket(target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    int on = 1;
    if (setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return fail(descriptor);
    if (source != NULL) {
        socklen_t from_length = parse_address(source, 0, &from);
        if (from_length == 0 || from.ss_family != target.ss_family) {
            errno = EINVAL;
            return fail(descriptor);
        }
        // The port is chosen by connect, where the peer is known: bind would take one that no other
        // socket of this address may use, whomever it talks to.
        if (setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0)
            return fail(descriptor);
        if (bind(descriptor, (struct sockaddr *)&from, from_length) != 0) return fail(descriptor);
    }
    if (connect(descriptor, (struct sockaddr *)&target, length) != 0 && errno != EINPROGRESS)
        return fail(descriptor);
    return descriptor;
}

int clinux_resolve(const char *host, int index, char *text, int size) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int code = getaddrinfo(host, NULL, &hints, &list);
    if (code == EAI_SYSTEM) return -errno;
    if (code == EAI_MEMORY) return -ENOMEM;
    if (code != 0) return -ENXIO;
    int result = 0;
    for (struct addrinfo *entry = list; entry != NULL; entry = entry->ai_next) {
        if (entry->ai_family != AF_INET && entry->ai_family != AF_INET6) continue;
        if (index-- > 0) continue;
        code = getnameinfo(entry->ai_addr, entry->ai_addrlen, text, size, NULL, 0, NI_NUMERICHOST);
        result = code == 0 ? 1 : -EINVAL;
        break;
    }
    freeaddrinfo(list);
    return result;
}

int clinux_timer(void) {
    int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return descriptor >= 0 ? descriptor : -errno;
}

int clinux_timer_set(int timer, uint64_t nanoseconds) {
    struct itimerspec when = {
        .it_value = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000}};
    return timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) == 0 ? 0 : errno;
}

int clinux_channel(int *sender, int *receiver) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return errno;
    *sender = pair[0];
    *receiver = pair[1];
    return 0;
}

int clinux_stream_pair(int *first, int *second) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return errno;
    *first = pair[0];
    *second = pair[1];
    return 0;
}

int clinux_send_descriptor(int sender, int descriptor, uint64_t token) {
    struct iovec part = {.iov_base = &token, .iov_len = sizeof token};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    return sendmsg(sender, &message, MSG_NOSIGNAL) == (ssize_t)sizeof token ? 0 : errno;
}

int clinux_receive_descriptor(int receiver, uint64_t *token) {
    struct iovec part = {.iov_base = token, .iov_len = sizeof *token};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t count = recvmsg(receiver, &message, MSG_CMSG_CLOEXEC);
    if (count < 0) return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (count != (ssize_t)sizeof *token || header == NULL || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int)))
        return -EMFILE;
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    return descriptor;
}

int clinux_peer_name(int descriptor, char *text, int size) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getpeername(descriptor, (struct sockaddr *)&storage, &length) != 0) return errno;
    char host[INET6_ADDRSTRLEN];
    if (storage.ss_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
    } else if (storage.ss_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        snprintf(text, size, "backend");
    }
    return 0;
}

int clinux_thread_start(pthread_t *thread, const char *name, size_t stack_bytes,
                        void *(*body)(void *), void *argument) {
    pthread_attr_t attributes;
    int code = pthread_attr_init(&attributes);
    if (code != 0) return code;
    code = pthread_attr_setstacksize(&attributes, stack_bytes);
    if (code == 0) code = pthread_create(thread, &attributes, body, argument);
    if (code == 0) pthread_setname_np(*thread, name);
    pthread_attr_destroy(&attributes);
    return code;
}

static void signal_set(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

int clinux_block_signals(void) {
    sigset_t set;
    signal_set(&set);
    sigaddset(&set, SIGPIPE);
    return pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int clinux_wait_for_signal(void) {
    sigset_t set;
    signal_set(&set);
    int number = 0;
    int code = sigwait(&set, &number);
    return code == 0 ? number : -code;
}

int clinux_deafen(int listener) {
    // A filter that drops each packet, the one with which a connection begins too.
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &drop};
    if (setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
        return errno;
    }
    return 0;
}
