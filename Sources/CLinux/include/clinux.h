#ifndef BIFROST_CLINUX_H
#define BIFROST_CLINUX_H

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

// Constants and calls that Swift's importer can't see: unions in structs, flag enums, and what
// glibc declares under _GNU_SOURCE only.

enum {
    CLINUX_EPOLLIN = EPOLLIN,
    CLINUX_EPOLLOUT = EPOLLOUT,
    CLINUX_EPOLLERR = EPOLLERR,
    CLINUX_EPOLLHUP = EPOLLHUP,
    CLINUX_EPOLLRDHUP = EPOLLRDHUP,
};

/// One ready descriptor: `data` is what was registered with it.
typedef struct {
    uint64_t data;
    uint32_t events;
} clinux_ready;

/// epoll_ctl with EPOLL_CTL_ADD, _MOD or _DEL (1, 3, 2). Returns 0 or errno.
int clinux_epoll_ctl(int epoll, int operation, int descriptor, uint32_t events, uint64_t data);

/// epoll_wait: at most `count` (<= 1024) entries. Returns their number, or the negative errno.
int clinux_epoll_wait(int epoll, clinux_ready *ready, int count, int timeout_milliseconds);

/// Gives the calling thread a table of open files of its own, a copy of the one it shared.
/// Returns 0 or errno.
int clinux_unshare_files(void);

/// Sets the size, in bytes, from which the allocator maps a block on its own, for good. A library
/// that can't do that goes on as before.
void clinux_set_mapped_block_size(int bytes);

/// Bytes in blocks that the allocator has given out, in all of its arenas.
uint64_t clinux_heap_bytes(void);

/// An eventfd, non-blocking. Returns the descriptor, or the negative errno.
int clinux_eventfd(void);

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC. Returns the descriptor, or the negative errno.
int clinux_accept(int listener);

/// A TCP socket bound to a numeric address, and listening unless `backlog` is 0. `reuse_port`
/// lets several loops listen at one port. Returns the descriptor, or the negative errno; the port in
/// use goes to `bound_port`.
int clinux_listen(const char *address, uint16_t port, int backlog, int reuse_port, uint16_t *bound_port);

/// A TCP socket on its way to a numeric address, from a numeric address of this machine where
/// `source` is not NULL; non-blocking. Writable means that it got there, or failed (SO_ERROR).
/// Returns the descriptor, or the negative errno.
int clinux_connect(const char *address, uint16_t port, const char *source);

/// The numeric address number `index` of a host, by the system's resolver. Returns 1, 0 where
/// there are fewer, or the negative errno; ENXIO: the host is not known.
int clinux_resolve(const char *host, int index, char *text, int size);

/// A timer of the monotonic clock, to be read and polled; non-blocking. Returns the descriptor, or
/// the negative errno.
int clinux_timer(void);

/// Sets such a timer to an absolute time; 0 stops it. Returns 0 or errno.
int clinux_timer_set(int timer, uint64_t nanoseconds);

/// Two connected sockets that keep message borders, non-blocking. Returns 0 or errno.
int clinux_channel(int *sender, int *receiver);

/// Two connected sockets for streams of bytes, non-blocking. Returns 0 or errno.
int clinux_stream_pair(int *first, int *second);

/// Lets a listening socket hear of no further connection, and leaves those that it has: whoever comes gets
/// no answer, and is refused once the socket is closed. Returns 0 or errno.
int clinux_deafen(int listener);

/// Sends an open file through a channel, under a number. Returns 0 or errno; EAGAIN: it is full.
int clinux_send_descriptor(int sender, int descriptor, uint64_t token);

/// Takes an open file from a channel. Returns the descriptor, or the negative errno; EMFILE: it
/// came, but there was no room for it in the table of open files.
int clinux_receive_descriptor(int receiver, uint64_t *token);

/// The address of a socket's other end as "address:port", or "backend" where both ends are of this process.
/// Returns 0 or errno.
int clinux_peer_name(int descriptor, char *text, int size);

/// Starts a thread with `stack_bytes` of stack and a name of up to 15 bytes.
/// Returns 0 or errno.
int clinux_thread_start(pthread_t *thread, const char *name, size_t stack_bytes,
                        void *(*body)(void *), void *argument);

/// Blocks SIGINT, SIGTERM and SIGPIPE in the calling thread and those it starts later.
/// Returns 0 or errno.
int clinux_block_signals(void);

/// Waits for SIGINT or SIGTERM. Returns its number, or the negative errno.
int clinux_wait_for_signal(void);

#endif
