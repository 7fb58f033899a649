/// Why a text is no value of its key: what is wrong, then what to write instead.
struct ValueError: Error, Equatable {
  let message: String

  init(_ message: String) { self.message = message }
}

/// A value as the user wrote it, between quotes, on one line and no longer than a limit of
/// characters; a path is given room for all of it.
func quoted(_ text: String, limit: Int = 64) -> String {
  var result = "\""
  for scalar in text.unicodeScalars.prefix(limit) {
    switch scalar {
    case "\"", "\\": result += "\\\(scalar)"
    case _ where scalar.properties.generalCategory == .control:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  if text.unicodeScalars.count > limit { result += "…" }
  return result + "\""
}
