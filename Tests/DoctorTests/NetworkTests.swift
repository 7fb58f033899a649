import Testing

@testable import Doctor

@Suite("Network")
struct NetworkTests {
  private func diagnosis(
    _ demand: Demand = .million, _ change: (inout SystemFacts) -> Void
  ) throws -> Diagnosis {
    var facts = try FakeSystem.facts()
    change(&facts)
    return Diagnosis(demand, facts)
  }

  @Test("pages of buffers: one for each client")
  func buffers() throws {
    let name = "net.ipv4.tcp_mem"
    #expect(try diagnosis { $0.tcpPages = .number(1_000_000) }[name].status == .fine)
    #expect(try diagnosis { $0.tcpPages = .unlimited }[name].status == .fine)
    let low = try diagnosis { $0.tcpPages = .number(999_999) }[name]
    #expect(low.status == .low && low.needed == 1_000_000 && low.unit == .pages)
    #expect(
      low.remedies == [
        Remedy(.now, "sysctl -w net.ipv4.tcp_mem=\"500000 666666 1000000\""),
        Remedy(
          .lasting, "net.ipv4.tcp_mem = 500000 666666 1000000", "in /etc/sysctl.d/90-bifrost.conf"),
      ])
    let hidden = try diagnosis { $0.tcpPages = .missing }[name]
    #expect(hidden.status == .unknown && hidden.note?.contains("host") == true)
    let garbage = try diagnosis { $0.tcpPages = .garbage("1 2") }[name]
    #expect(garbage.status == .unknown && garbage.presentText == "not understood: '1 2'")
  }

  @Test("connections that wait to be accepted")
  func acceptQueue() throws {
    let name = "net.core.somaxconn"
    #expect(try diagnosis { $0.acceptQueue = .number(50_000) }[name].status == .fine)
    let low = try diagnosis { $0.acceptQueue = .number(49_999) }[name]
    #expect(low.status == .low && low.neededText == "50,000")
    #expect(low.remedies.first?.text == "sysctl -w net.core.somaxconn=50000")
    #expect(try diagnosis { $0.acceptQueue = .missing }[name].status == .unknown)
    #expect(try diagnosis { $0.acceptQueue = .garbage("many") }[name].status == .unknown)
  }

  @Test("handshakes under way: SYN cookies make them bite no more")
  func handshakes() throws {
    let name = "net.ipv4.tcp_max_syn_backlog"
    let cookies = try diagnosis { $0.synCookies = .number(1) }[name]
    #expect(cookies.status == .fine && cookies.remedies.isEmpty)
    #expect(cookies.note == "not looked at while net.ipv4.tcp_syncookies is 1")
    for reading in [Reading.number(0), .missing, .garbage("x")] {
      let low = try diagnosis { $0.synCookies = reading }[name]
      #expect(low.status == .low && low.needed == 66_667)
      #expect(low.remedies.last?.text == "sysctl -w net.ipv4.tcp_syncookies=1")
      let fine = try diagnosis {
        $0.synCookies = reading
        $0.synQueue = .number(66_667)
      }[name]
      #expect(fine.status == .fine && fine.note == nil)
    }
    #expect(try diagnosis { $0.synQueue = .missing }[name].status == .unknown)
  }

  @Test("ports of clients on this machine")
  func ports() throws {
    let name = "net.ipv4.ip_local_port_range"
    let here = Demand(connections: 1_000_000, loops: 2, clientsAreHere: true)
    let few = Demand(connections: 100, loops: 2, clientsAreHere: true)

    let proxy = try diagnosis { _ in }[name]
    #expect(proxy.status == .fine && proxy.presentText == "28,232 ports")
    #expect(proxy.note == "a proxy on this machine would need 36 source addresses")
    let own = try diagnosis(here) { _ in }[name]
    #expect(own.status == .fine)
    #expect(own.note == "clients need 36 source addresses; bifrost bench takes one for each 12,000")
    #expect(try diagnosis(few) { _ in }[name].note == nil)

    let narrow = try diagnosis(here) { $0.localPorts = .number(28_231) }[name]
    #expect(narrow.status == .low)
    #expect(narrow.remedies.first?.text == "sysctl -w net.ipv4.ip_local_port_range=\"10000 65535\"")
    #expect(try diagnosis { $0.localPorts = .number(1) }[name].status == .fine)
    #expect(try diagnosis(few) { $0.localPorts = .number(100) }[name].status == .fine)
    #expect(try diagnosis(few) { $0.localPorts = .number(99) }[name].status == .low)
    #expect(try diagnosis { $0.localPorts = .number(0) }[name].note == nil)
    #expect(try diagnosis { $0.localPorts = .missing }[name].status == .unknown)
    #expect(try diagnosis { $0.localPorts = .garbage("a b") }[name].status == .unknown)
  }

  @Test("connections that a firewall tracks")
  func tracking() throws {
    let name = "net.netfilter.nf_conntrack_max"
    #expect(try diagnosis { $0.trackedMost = .number(1_000_017) }[name].status == .fine)
    let low = try diagnosis { $0.trackedMost = .number(1_000_016) }[name]
    #expect(low.status == .low && low.presentText == "1,000,016 (17 in use)")
    #expect(low.remedies.first?.text == "sysctl -w net.netfilter.nf_conntrack_max=1100000")
    #expect(low.remedies.contains { $0.place?.contains("modules-load.d") == true })
    #expect(low.note == nil)
    let idle = try diagnosis {
      $0.trackedMost = .number(999_999)
      $0.trackedNow = .number(0)
    }[name]
    #expect(idle.status == .low && idle.note?.hasPrefix("nothing is tracked now") == true)
    let none = try diagnosis {
      $0.trackedMost = .missing
      $0.trackedNow = .missing
    }[name]
    #expect(none.status == .fine && none.presentText == "not loaded")
    #expect(try diagnosis { $0.trackedMost = .garbage("-1") }[name].status == .unknown)
    let untold = try diagnosis { $0.trackedNow = .garbage("?") }[name]
    #expect(untold.needed == 1_000_000 && untold.presentText == "2,000,000")
  }
}
