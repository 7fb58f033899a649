import Packet
import Testing

@Suite("The table of packets")
struct VectorTests {
  let vectors: [Vector]

  init() throws { vectors = try Vector.load() }

  @Test("covers every packet type, both ways, valid and invalid, in each version")
  func coverage() {
    #expect(vectors.count >= 250)
    #expect(Set(vectors.map(\.name)).count == vectors.count)
    for type in PacketType.allCases {
      let ofType = vectors.filter { $0.bytes[0] >> 4 == type.rawValue }
      let versions: [ProtocolVersion] = type == .auth ? [.v5] : ProtocolVersion.allCases
      for version in versions {
        let inVersion = ofType.filter { $0.versions.contains(version) }
        #expect(inVersion.contains { $0.isValid }, "\(type) \(version)")
        #expect(inVersion.contains { !$0.isValid }, "\(type) \(version)")
      }
    }
    let faults = Set(
      vectors.compactMap { vector -> String? in
        if case .fault(_, let name) = vector.outcome { name } else { nil }
      })
    for fault in DecodeError.allCases {
      #expect(faults.contains("\(fault)"), "no packet for \(fault)")
    }
  }

  @Test("what is valid decodes and encodes again")
  func valid() {
    for vector in vectors where vector.isValid {
      for version in vector.decodeVersions {
        do {
          let again = try reencode(vector.bytes, version: version)
          if vector.outcome == .valid(canonical: true) {
            #expect(again == vector.bytes, "\(vector.name) in \(version)")
          } else {
            #expect(again != vector.bytes, "\(vector.name) is canonical")
            #expect(try reencode(again, version: version) == again, "\(vector.name)")
          }
        } catch {
          Issue.record("\(vector.name) in \(version): \(error)")
        }
      }
    }
  }

  @Test("what is invalid is refused with its reason code")
  func invalid() {
    for vector in vectors {
      guard case .fault(let reason, let name) = vector.outcome else { continue }
      for version in vector.decodeVersions {
        do {
          _ = try reencode(vector.bytes, version: version)
          Issue.record("\(vector.name) in \(version) was accepted")
        } catch let error as DecodeError {
          #expect(error.reason == reason, "\(vector.name) in \(version): \(error)")
          #expect("\(error)" == name, "\(vector.name) in \(version)")
        } catch {
          Issue.record("\(vector.name) in \(version): \(error)")
        }
      }
    }
  }

  @Test("the version in which a CONNECT is answered is found although it can't be decoded")
  func peekVersion() throws {
    for vector in vectors where vector.bytes[0] == 0x10 {
      let frame = try decodeFrame(
        vector.bytes.span, from: 0, maximumPacketSize: Vector.maximumPacketSize)
      guard case .packet(let header) = frame else {
        Issue.record("\(vector.name) is incomplete")
        continue
      }
      let version = Connect.peekVersion(vector.bytes.span, header: header)
      #expect(version == vector.versions.first, "\(vector.name)")
    }
  }

  @Test("each proper prefix of a packet is incomplete")
  func prefixes() throws {
    for vector in vectors where vector.isValid {
      let bytes = vector.bytes
      for version in vector.decodeVersions {
        let whole = try decodeFrame(
          bytes.span, from: 0, maximumPacketSize: bytes.count, version: version)
        guard case .packet(let header) = whole, header.totalLength == bytes.count else {
          Issue.record("\(vector.name): \(whole)")
          continue
        }
        // The big ones are cut everywhere near both ends; the middle has nothing to tell.
        for count in 0..<bytes.count where count < 300 || count > bytes.count - 300 {
          let prefix = bytes.span.extracting(0..<count)
          let frame = try decodeFrame(
            prefix, from: 0, maximumPacketSize: bytes.count, version: version)
          guard case .incomplete(let needed) = frame else {
            Issue.record("\(vector.name) cut to \(count): \(frame)")
            break
          }
          // What is needed is more than there is, and never more than the packet has.
          #expect(needed > count && needed <= bytes.count && needed >= 2, "\(vector.name)")
          if count >= header.headerLength { #expect(needed == bytes.count, "\(vector.name)") }
        }
        #expect(throws: DecodeError.packetTooLarge) {
          try decodeFrame(
            bytes.span, from: 0, maximumPacketSize: bytes.count - 1, version: version)
        }
      }
    }
  }

  @Test("a packet that is cut short inside its frame never decodes to the same")
  func shortened() {
    for vector in vectors where vector.isValid && vector.bytes.count <= 130 {
      for version in vector.decodeVersions {
        for count in 2..<max(vector.bytes.count, 2) {
          var bytes = Array(vector.bytes.prefix(count))
          bytes[1] = UInt8(count - 2)
          guard let again = try? reencode(bytes, version: version) else { continue }
          #expect(again != vector.bytes, "\(vector.name) cut to \(count)")
        }
      }
    }
  }

  @Test("several packets in a row are found one after the other")
  func stream() throws {
    let some = vectors.filter {
      $0.isValid && $0.versions.contains(.v5) && $0.bytes.count < 1_000
    }
    let bytes = some.flatMap(\.bytes)
    var offset = 0
    for vector in some {
      let frame = try decodeFrame(bytes.span, from: offset, maximumPacketSize: 1_000)
      guard case .packet(let header) = frame else {
        Issue.record("\(vector.name): \(frame)")
        return
      }
      #expect(header.totalLength == vector.bytes.count, "\(vector.name)")
      offset += header.totalLength
    }
    #expect(offset == bytes.count)
    let end = try decodeFrame(bytes.span, from: offset, maximumPacketSize: 1_000)
    #expect(end == .incomplete(needed: 2))
  }
}
