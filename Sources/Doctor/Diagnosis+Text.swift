extension Diagnosis {
  /// Where the present values begin: behind the longest name and its status.
  private static var nameWidth: Int { 30 }
  private static var statusWidth: Int { 9 }
  /// Where the words of a remark begin, behind its label.
  private static var labelWidth: Int { 10 }

  /// For people: a line for each check, with what is needed and how to get it beneath those that
  /// are too low, and then the memory. Ends with a line end.
  public var text: String {
    var lines = [title, ""]
    for finding in findings { lines += Diagnosis.lines(finding) }
    lines += [""] + memoryLines + ["", conclusion]
    return lines.joined(separator: "\n") + "\n"
  }

  private var title: String {
    let parts = [
      Amount.count(demand.connections, "connection"),
      demand.clientsAreHere ? "with the clients on this machine" : nil,
      Amount.count(demand.loops, "loop"), Amount.count(demand.listeners, "listener"),
    ]
    return parts.compactMap(\.self).joined(separator: ", ")
  }

  private static func lines(_ finding: Finding) -> [String] {
    let status =
      switch finding.status {
      case .fine: "fine"
      case .low: "LOW"
      case .unknown: "unknown"
      }
    var lines = [
      pad(status, statusWidth) + pad(finding.name, nameWidth) + " " + finding.presentText
    ]
    if finding.status == .low {
      lines.append(remark("needed", finding.neededText))
      lines.append(remark("why", finding.why))
    }
    if let note = finding.note { lines.append(remark("note", note)) }
    for remedy in finding.remedies {
      let label =
        switch remedy.kind {
        case .now: "now"
        case .lasting: "for good"
        case .instead: "or"
        }
      lines.append(remark(label, remedy.text + (remedy.place.map { "  \($0)" } ?? "")))
    }
    return lines
  }

  private var memoryLines: [String] {
    let both = demand.clientsAreHere ? ", both ends" : ""
    let rows = [
      (
        "user space", memory.userBytes,
        "\(Figures.userBytesPerClient) bytes each, and \(Amount.bytes(Figures.userBytesFixed))"
      ),
      (
        "kernel", memory.kernelBytes,
        "\(Amount.grouped(Figures.kernelBytesPerConnection)) bytes for each connection\(both)"
      ),
      ("together", memory.totalBytes, ""),
      ("at most", memory.burstBytes, "more, while a message is on its way to each"),
    ]
    let width = rows.map { Amount.bytes($0.1).count }.max() ?? 0
    return ["memory of \(Amount.count(demand.connections, "quiet client"))"]
      + rows.map { name, bytes, remark in
        let amount = Amount.bytes(bytes)
        let line =
          "  " + Diagnosis.pad(name, 12) + String(repeating: " ", count: width - amount.count)
          + amount
        return remark.isEmpty ? line : line + "  " + remark
      }
  }

  private var conclusion: String {
    var text =
      switch lowCount {
      case 0: "No limit bites."
      case 1: "1 limit of \(findings.count) is too low."
      default: "\(lowCount) limits of \(findings.count) are too low."
      }
    if unknownCount > 0 { text += " \(unknownCount) could not be read." }
    return text
  }

  private static func remark(_ label: String, _ text: String) -> String {
    String(repeating: " ", count: statusWidth) + pad(label, labelWidth) + text
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
