import Util

/// What a connection takes, and what a storm of them needs: each estimate with its source.
public enum Figures {
  // MARK: Memory

  /// Bytes of the broker's own memory for a client that is connected, has one subscription, and is
  /// quiet. Measured with `bifrost bench idle`.
  public static var userBytesPerClient: UInt64 { 256 }

  /// Bytes of the broker's own memory before the first client: the program, its libraries, and the
  /// buffers of its loops. Measured as resident memory with one loop.
  public static var userBytesFixed: UInt64 { 25_000_000 }

  /// Bytes of kernel memory for one end of an established connection: the socket, its entry in
  /// epoll, its inode and its dentry. Measured over loopback; the slabs alone (`Slab` in
  /// `/proc/meminfo`) grow by 4,080 bytes on Linux 6.18.
  public static var kernelBytesPerConnection: UInt64 { 4400 }

  /// Pages that TCP's account of buffers takes for one short message that waits to be acknowledged
  /// or read: the account is kept in whole pages for each socket, and a message with its headers
  /// fits one. Measured on Linux 6.18: 0.85 to 0.96 pages, the rest lies with the processors; 0
  /// for a socket with nothing on the way.
  public static var bufferPagesPerMessage: UInt64 { 1 }

  // MARK: A storm of reconnects

  /// Seconds in which all clients come back after the network was away. Well below that, no
  /// broker could answer them either; well above, the queues stay short.
  public static var stormSeconds: UInt64 { 10 }

  /// Seconds of arrivals that the queue of a listening socket is to hold: a client whose SYN was
  /// dropped tries again after one second, so a loop that is busy for less loses nobody.
  public static var queueSeconds: UInt64 { 1 }

  /// Clients that may come in the same moment, however few there are in all: the kernel's own
  /// figure of old for such a queue (`SOMAXCONN`).
  public static var queueLeast: UInt64 { 128 }

  // MARK: Descriptors, threads, mappings

  /// Descriptors of the process that are neither clients' nor loops': the standard ones and
  /// libraries'. As the broker itself counts.
  public static var filesFixed: UInt64 { 16 }

  /// Descriptors of a loop beside its listeners: its epoll, its wake-up and its passage. As the
  /// broker itself counts.
  public static var filesPerLoop: UInt64 { 4 }

  /// Threads beside those of the loops: the main one, and what libraries may start.
  public static var threadsFixed: UInt64 { 8 }

  /// Mappings of memory that the process has whatever its loops: libraries, and what the
  /// directory of sessions and the store reserve, two for each size of block.
  public static var mappingsFixed: UInt64 { 4000 }

  /// Mappings of a loop at most: four pools of 47 sizes of block with two mappings for each.
  public static var mappingsPerLoop: UInt64 { 400 }

  // MARK: The broker's own limits

  /// The largest value of `mqtt.max-connections`.
  public static var maximumConnectionsSetting: UInt64 { 16_777_216 }

  /// Ports for outgoing connections that Linux gives unless it is told otherwise: 32768 to 60999.
  public static var portsByDefault: UInt64 { 28_232 }

  /// Clients for each source address that `bifrost bench` uses on the loopback.
  public static var benchClientsPerAddress: UInt64 { 12_000 }
}
