import Glibc

/// A point in time in UTC, with milliseconds.
struct Timestamp: CustomStringConvertible {
  /// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
  let seconds: Int
  /// 0 to 999.
  let milliseconds: Int

  /// The time of the system's clock.
  static func now() -> Timestamp {
    var time = timespec()
    // Safe: clock_gettime writes one timespec; the real-time clock always exists.
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(seconds: time.tv_sec, milliseconds: time.tv_nsec / 1_000_000)
  }

  /// The form of RFC 3339, such as `2026-11-23T13:00:00.123Z`; years 0 to 9999.
  var description: String {
    let (days, time) = (seconds.flooredQuotient(86_400), seconds.flooredRemainder(86_400))
    let date = Self.date(daysSince1970: days)
    return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))"
      + "T\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
      + ".\(padded(milliseconds, 3))Z"
  }

  /// The date in the Gregorian calendar.
  ///
  /// Years are counted from March, so that a leap day is the last day of its year, in eras of 400
  /// years, after which the calendar repeats; 719,468 days lie between 0000-03-01 and 1970-01-01.
  private static func date(daysSince1970 days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let (era, dayOfEra) = (shifted.flooredQuotient(146_097), shifted.flooredRemainder(146_097))
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * month + 2) / 5 + 1
    let isNextYear = month >= 10
    return (
      era * 400 + yearOfEra + (isNextYear ? 1 : 0), isNextYear ? month - 9 : month + 3, day
    )
  }

  private func padded(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}

extension Int {
  fileprivate func flooredQuotient(_ divisor: Int) -> Int {
    (self - flooredRemainder(divisor)) / divisor
  }

  fileprivate func flooredRemainder(_ divisor: Int) -> Int {
    let remainder = self % divisor
    return remainder < 0 ? remainder + divisor : remainder
  }
}
