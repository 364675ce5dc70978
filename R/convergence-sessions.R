# The rows of the data as sessions sorted by dyad and time, and what is wrong with them.

#' The sessions sorted by dyad and time
#'
#' Rows without an id are dropped and counted; rows without a time stay, so that
#' their dyad is not lost, and the core passes over them.
#' @returns A list: `time`, `first`, `second` (one value per row), `starts`
#'   (0-based first row of each dyad, closed by the number of rows), `ids`
#'   (named list, one value per dyad) and counts.
#' @noRd
read_sessions <- function(spec, data, call) {
  read <- function(part) evaluate_part(part, data, spec$formula, call)
  time <- check_numbers(read(spec$time), spec$time$name, "time", call)
  first <- check_numbers(read(spec$first), spec$first$name, "rating", call)
  second <- check_numbers(read(spec$second), spec$second$name, "rating", call)
  id_parts <- c(if (!is.null(spec$cluster)) list(spec$cluster), list(spec$dyad))
  ids <- lapply(id_parts, read)
  names(ids) <- vapply(id_parts, `[[`, "", "name")
  keys <- Map(id_key, ids, names(ids), MoreArgs = list(call = call), USE.NAMES = FALSE)

  order <- NULL
  rows <- .Call(C_dyad_rows, keys, time)
  if (!rows$in_order) {
    missing <- Reduce(`|`, lapply(keys, is.na))
    if (all(missing)) {
      stop_no_ids(names(ids), call)
    }
    order <- do.call(base::order, c(keys, list(time, method = "radix")))
    order <- order[!missing[order]]
    time <- time[order]
    first <- first[order]
    second <- second[order]
    rows <- .Call(C_dyad_rows, lapply(keys, `[`, order), time)
  }
  heads <- rows$starts[-length(rows$starts)] + 1L
  if (!is.null(order)) {
    heads <- order[heads]
  }
  sessions <- list(
    time = time, first = first, second = second, starts = rows$starts,
    ids = lapply(ids, function(id) id[heads]), order = order,
    n_rows = nrow(data), n_no_id = nrow(data) - length(time), n_no_time = rows$n_no_time
  )
  check_rows(rows, sessions, spec, call)
  sessions
}

stop_no_ids <- function(names, call) {
  stop_samepage(
    "id",
    c(
      "Rows must say which dyad they belong to.",
      x = paste0("Every row is without ", paste0("`", names, "`", collapse = " or "), ".")
    ),
    call = call
  )
}

#' Integers or doubles that sort and compare as the ids do, missing as NA
#' @noRd
id_key <- function(id, name, call) {
  if (!is.atomic(id) || is.raw(id) || !is.null(dim(id))) {
    stop_samepage(
      "id",
      c(
        paste0("The id `", name, "` must be a single column of numbers, text or a factor."),
        x = paste0("Found: ", describe_class(id), ".")
      ),
      call = call
    )
  }
  if (is.factor(id)) {
    codes <- as.integer(id)
    without <- is.na(levels(id))
    if (any(without)) {
      codes[codes == which(without)] <- NA_integer_
    }
    return(codes)
  }
  if (!is.object(id) || inherits(id, c("Date", "POSIXct", "difftime", "AsIs"))) {
    id <- unclass(id)
    if (is.logical(id) || is.integer(id)) {
      return(as.integer(id))
    }
    if (is.double(id)) {
      return(as.double(id))
    }
  }
  if (is.character(id)) {
    return(match(id, sort(unique(id), method = "radix")))
  }
  values <- unique(id)
  values <- values[!is.na(values)]
  match(id, values[order(values)])
}

check_rows <- function(rows, sessions, spec, call) {
  time <- spec$time$name
  if (rows$most_rows >= 2L && rows$most_times < 2L) {
    stop_samepage(
      "time_constant",
      c(
        paste0("Time must vary within dyads, and `", time, "` is constant within every dyad."),
        i = "Give the variable that counts the sessions of a dyad."
      ),
      column = time,
      call = call
    )
  }
  if (rows$n_duplicates > 0L) {
    second <- rows$duplicates
    original <- if (is.null(sessions$order)) seq_along(sessions$time) else sessions$order
    dyad <- findInterval(second - 1L, sessions$starts)
    where <- paste0(
      dyad_labels(sessions$ids, dyad), " at ", format_number(sessions$time[second]),
      " (rows ", original[second - 1L], " and ", original[second], ")"
    )
    more <- rows$n_duplicates - length(second)
    stop_samepage(
      "duplicate_rows",
      c(
        paste0("`data` must have one row per dyad and session (`", spec$dyad$name, "`, `", time,
               "`)."),
        x = paste0(
          "More than one row: ", paste(where, collapse = "; "),
          if (more > 0L) paste0("; and ", more, " more"), "."
        ),
        i = paste0(
          "If a session was entered twice, keep one of its rows; if each rater has rows of their ",
          "own, put both ratings into one row; if ids repeat across clusters, write `", time,
          " | cluster/", spec$dyad$name, "`."
        )
      ),
      call = call
    )
  }
  if (rows$most_rows < 2L) {
    stop_samepage(
      "too_few_sessions",
      c(
        "At least one dyad must have two sessions.",
        x = paste0(
          "Every `", spec$dyad$name, "` has at most one row with a `", time, "`."
        ),
        i = "The right side of the formula is `time | dyad`: is the dyad's id behind the bar?"
      ),
      call = call
    )
  }
}

# "3", or "7/3" with a cluster, for the dyads in places `at`.
dyad_labels <- function(ids, at) {
  do.call(paste, c(lapply(unname(ids), function(id) id_text(id[at])), list(sep = "/")))
}

format_number <- function(x) {
  vapply(x, format, "", digits = 15L, scientific = 15L)
}
