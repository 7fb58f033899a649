import Util

extension Diagnosis {
  /// What TCP and the firewall allow.
  static func network(_ demand: Demand, _ facts: SystemFacts) -> [Finding] {
    [
      buffers(demand, facts),
      .atLeast(
        "net.core.somaxconn", facts.acceptQueue, demand.queue, .connections,
        why: "a storm of reconnects waits here, at each loop's socket; what is more is dropped"
      ) { Remedy.setting("net.core.somaxconn", "\(demand.queue)") },
      handshakes(demand, facts),
      ports(demand, facts),
      tracking(demand, facts),
    ]
  }

  private static func buffers(_ demand: Demand, _ facts: SystemFacts) -> Finding {
    let pages = demand.connections * Figures.bufferPagesPerMessage
    return .atLeast(
      "net.ipv4.tcp_mem", facts.tcpPages, pages, .pages,
      why: "a message on its way to each client is a page each; idle sockets take none",
      note: facts.tcpPages == .missing ? "a container does not see it: ask on the host" : nil
    ) {
      // The kernel's own proportions: it grows careful from the second number on.
      let high = Amount.rounded(pages)
      return Remedy.setting("net.ipv4.tcp_mem", "\(high / 2) \(high / 3 * 2) \(high)")
    }
  }

  private static func handshakes(_ demand: Demand, _ facts: SystemFacts) -> Finding {
    let name = "net.ipv4.tcp_max_syn_backlog"
    var finding = Finding.atLeast(
      name, facts.synQueue, demand.synQueue, .connections,
      why: "handshakes under way at each loop's socket; without SYN cookies more are dropped"
    ) {
      Remedy.setting(name, "\(demand.synQueue)")
        + [Remedy(.instead, "sysctl -w net.ipv4.tcp_syncookies=1")]
    }
    if finding.status == .low, let cookies = facts.synCookies.value, cookies > 0 {
      finding.status = .fine
      finding.remedies = []
      finding.note = "not looked at while net.ipv4.tcp_syncookies is \(cookies)"
    }
    return finding
  }

  private static func ports(_ demand: Demand, _ facts: SystemFacts) -> Finding {
    let name = "net.ipv4.ip_local_port_range"
    let needed =
      demand.clientsAreHere ? min(demand.connections, Figures.portsByDefault) : 0
    var finding = Finding.atLeast(
      name, facts.localPorts, needed, .ports,
      why: "clients here, or a proxy, have so many ports for each address that they come from"
    ) { Remedy.setting(name, "10000 65535") }
    if let ports = facts.localPorts.value, ports > 0 {
      let addresses = (demand.connections + ports - 1) / ports
      finding.presentText += " ports"
      if demand.clientsAreHere && demand.connections > Figures.benchClientsPerAddress {
        finding.note =
          "clients need \(Amount.count(addresses, "source address", plural: "es")); bifrost bench "
          + "takes one for each \(Amount.grouped(Figures.benchClientsPerAddress))"
      } else if addresses > 1 {
        finding.note =
          "a proxy on this machine would need \(Amount.grouped(addresses)) source addresses"
      }
    }
    return finding
  }

  private static func tracking(_ demand: Demand, _ facts: SystemFacts) -> Finding {
    let name = "net.netfilter.nf_conntrack_max"
    let inUse = facts.trackedNow.value ?? 0
    let needed = demand.connections + inUse
    var finding = Finding.atLeast(
      name, facts.trackedMost, needed, .connections,
      why: "where a firewall tracks connections, those beyond its table are dropped",
      detail: facts.trackedNow.value.map { "\(Amount.grouped($0)) in use" }
    ) {
      Remedy.setting(name, "\(Amount.rounded(needed))") + [
        Remedy(.lasting, "nf_conntrack", "in /etc/modules-load.d/bifrost.conf too"),
        Remedy(.instead, "exempt the broker's ports from tracking (notrack)"),
      ]
    }
    if facts.trackedMost == .missing {
      finding.status = .fine
      finding.presentText = "not loaded"
    } else if finding.status == .low && facts.trackedNow == .number(0) {
      finding.note = "nothing is tracked now; a rule of the firewall may change that"
    }
    return finding
  }
}
