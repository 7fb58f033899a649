import Net
import Packet
import Util

extension BenchWorker {
  func received(_ slot: UInt32, _ bytes: Span<UInt8>) -> Received {
    let index = Int(loop.connections[slot].owner)
    if clients[index].phase != .ready {
      return receivedGreeting(slot, index, bytes)
    }
    return receivedLoad(slot, index, bytes, from: 0)
  }

  private func receivedGreeting(
    _ slot: UInt32, _ index: Int, _ bytes: Span<UInt8>
  ) -> Received {
    var offset = 0
    do throws(DecodeError) {
      while clients[index].phase != .ready {
        switch try decodeFrame(
          bytes, from: offset, maximumPacketSize: maximumPossiblePacketSize,
          version: options.version)
        {
        case .incomplete(let needed): return Received(consumed: offset, needed: needed)
        case .packet(let header):
          let packet = bytes.extracting(offset..<offset + header.totalLength)
          offset += header.totalLength
          if let words = try greeted(slot, packet, header) {
            return fail(slot, index, words, bytes)
          }
        }
      }
    } catch {
      return fail(slot, index, "the server broke the protocol: \(error.message)", bytes)
    }
    return receivedLoad(slot, index, bytes, from: offset)
  }

  private func fail(
    _ slot: UInt32, _ index: Int, _ words: String, _ bytes: Span<UInt8>
  ) -> Received {
    gone(index, words)
    loop.drop(slot)
    return Received(consumed: bytes.count, needed: 0)
  }

  /// Counts what came, without copying it and without a look at more than is needed.
  private func receivedLoad(
    _ slot: UInt32, _ index: Int, _ bytes: Span<UInt8>, from start: Int
  ) -> Received {
    let client = clients[index]
    let now = options.hasLatency ? MonotonicClock.nanoseconds : 0
    var offset = start
    var needed = 2
    var deliveries: UInt64 = 0
    var completions = 0
    var subscriptions = 0
    var words: String? = nil
    while bytes.count - offset >= 2 {
      var remaining = Int(bytes[offset + 1])
      var header = 2
      if remaining >= 0x80 {
        remaining &= 0x7F
        var shift = 7
        var byte: UInt8 = 0x80
        while byte >= 0x80 && shift < 28 && offset + header < bytes.count {
          byte = bytes[offset + header]
          remaining |= Int(byte & 0x7F) << shift
          shift += 7
          header += 1
        }
        if byte >= 0x80 {
          if shift >= 28 { words = "the server sent a length of more than four bytes" }
          needed = header + 1
          break
        }
      }
      let end = offset + header + remaining
      guard end <= bytes.count else {
        needed = end - offset
        break
      }
      let first = bytes[offset]
      switch first & 0xF0 {
      case 0x30 where client.role == .idle:
        deliveries += 1
        if first & 0x06 != 0 { answer(bytes, offset, header, end, first) }
      case 0x30:
        guard client.role == .subscriber, remaining >= options.payloadBytes else {
          findings.foreign += 1
          break
        }
        if options.hasStamps { see(bytes, at: end - options.payloadBytes, client, first, now) }
        deliveries += 1
        if first & 0x06 != 0 { answer(bytes, offset, header, end, first) }
      case 0x40, 0x70:
        completions += 1
        if remaining > 2 && bytes[offset + header + 2] >= 0x80 { findings.refused += 1 }
      case 0x50 where remaining >= 2:
        if remaining > 2 && bytes[offset + header + 2] >= 0x80 {
          findings.refused += 1
          completions += 1
        } else {
          append(0x62, bytes[offset + header], bytes[offset + header + 1])
        }
      case 0x60 where remaining >= 2:
        append(0x70, bytes[offset + header], bytes[offset + header + 1])
      case 0xD0: break
      case 0x90 where client.role == .idle && remaining > 2:
        if bytes[end - 1] >= 0x80 { words = "the server refused a subscription" }
        subscriptions += 1
      case 0xE0:
        let reason = remaining > 0 ? bytes[offset + header] : 0
        words = "the server ended a connection: \(ReasonCode(rawValue: reason))"
      default: words = "the server sent a packet out of turn: type \(first >> 4)"
      }
      offset = end
      if words != nil { break }
    }
    if client.role == .idle || client.role == .caller {
      countIdle(
        index, arrivals: UInt32(deliveries), completions: completions,
        subscriptions: subscriptions)
    } else {
      count(client, deliveries, completions)
    }
    if let words {
      answers.removeAll(keepingCapacity: true)
      return fail(slot, index, words, bytes)
    }
    sendAnswers(slot)
    return Received(consumed: offset, needed: needed)
  }

  /// Looks at the stamp of a payload that starts at `offset`.
  private func see(
    _ bytes: Span<UInt8>, at offset: Int, _ client: BenchClient, _ first: UInt8, _ now: UInt64
  ) {
    let stamp = Stamp(time: 0, word: load(bytes, at: offset + 8))
    guard stamp.publisher < channels[Int(client.channel)].plan.publishers else {
      findings.foreign += 1
      return
    }
    if trackers[Int(client.index) + stamp.publisher].see(stamp.sequence) == .late {
      if first & 0x08 != 0 { findings.duplicates += 1 } else { findings.reordered += 1 }
    }
    if options.hasLatency {
      findings.latency.record(intended: load(bytes, at: offset), now: now)
    }
  }

  /// The big-endian number at `offset`.
  @inline(__always)
  private func load(_ bytes: Span<UInt8>, at offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset + 8 <= bytes.count, "a stamp beyond its packet")
    // Safe: the eight bytes lie inside the span, and any eight bytes are a number.
    return unsafe bytes.withUnsafeBytes {
      unsafe UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
  }

  /// PUBACK or PUBREC for a message.
  private func answer(
    _ bytes: Span<UInt8>, _ offset: Int, _ header: Int, _ end: Int, _ first: UInt8
  ) {
    guard offset + header + 2 <= end else { return }
    let topic = Int(bytes[offset + header]) << 8 | Int(bytes[offset + header + 1])
    let at = offset + header + 2 + topic
    guard at + 2 <= end else { return }
    append(first & 0x06 == 0x02 ? 0x40 : 0x50, bytes[at], bytes[at + 1])
  }

  private func append(_ type: UInt8, _ high: UInt8, _ low: UInt8) {
    answers.append(type)
    answers.append(2)
    answers.append(high)
    answers.append(low)
  }

  private func sendAnswers(_ slot: UInt32) {
    guard !answers.isEmpty else { return }
    var bytes: [UInt8] = []
    swap(&bytes, &answers)
    write(slot, bytes)
    bytes.removeAll(keepingCapacity: true)
    swap(&bytes, &answers)
  }

  private func count(_ client: BenchClient, _ deliveries: UInt64, _ completions: Int) {
    guard deliveries > 0 || completions > 0 else { return }
    let channel = Int(client.channel)
    delivered += deliveries
    channels[channel].news += deliveries
    if completions > 0 && client.role == .publisher {
      acknowledged += UInt64(completions)
      publishers[Int(client.index)].inflight -= completions
      channels[channel].window.acknowledge(UInt64(completions))
    }
    lastProgress = MonotonicClock.nanoseconds
    list(channel)
  }
}
