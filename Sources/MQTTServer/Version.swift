/// The version of this program.
public let bifrostVersion = "0.1.0"
