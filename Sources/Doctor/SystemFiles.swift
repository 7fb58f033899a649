import Util

/// The small files in which the kernel shows its settings, under a root that tests replace.
struct SystemFiles {
  private let root: String

  /// - Parameter root: the directory that stands for `/`.
  init(root: String) {
    self.root = root.hasSuffix("/") ? String(root.dropLast()) : root
  }

  /// The text of a file; nil where it can't be read. What is no UTF-8 is replaced.
  func text(_ path: String) -> String? { readFile(root + path) }

  /// A setting of the kernel's by its name with dots.
  func setting(_ name: String) -> String? {
    text("/proc/sys/" + String(name.map { $0 == "." ? "/" : $0 }))
  }
}
