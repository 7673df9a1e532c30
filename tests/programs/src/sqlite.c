// A small shell around SQLite: runs the SQL of standard input (or of the second argument) on a database file
// and prints rows with `|` between columns. Exit code 1 after an error.

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(FILE *file) {
  size_t length = 0, capacity = 1 << 16;
  char *text = malloc(capacity);
  while (text) {
    length += fread(text + length, 1, capacity - length - 1, file);
    if (length + 1 < capacity) {
      text[length] = 0;
      return text;
    }
    capacity *= 2;
    text = realloc(text, capacity);
  }
  abort();
}

static int print_rows(sqlite3_stmt *statement) {
  int result;
  while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
    for (int column = 0; column < sqlite3_column_count(statement); column++) {
      const unsigned char *text = sqlite3_column_text(statement, column);
      printf("%s%s", column ? "|" : "", text ? (const char *)text : "NULL");
    }
    printf("\n");
  }
  return result == SQLITE_DONE ? SQLITE_OK : result;
}

int main(int argc, char **argv) {
  sqlite3 *database;
  int failures = 0;
  if (sqlite3_open(argc > 1 ? argv[1] : ":memory:", &database) != SQLITE_OK) {
    fprintf(stderr, "can't open: %s\n", sqlite3_errmsg(database));
    return 2;
  }
  const char *sql = argc > 2 ? argv[2] : read_all(stdin);
  while (*sql) {
    sqlite3_stmt *statement = NULL;
    const char *rest = sql;
    int result = sqlite3_prepare_v2(database, sql, -1, &statement, &rest);
    if (result == SQLITE_OK && statement) result = print_rows(statement);
    if (result != SQLITE_OK) {
      printf("error: %s\n", sqlite3_errmsg(database));
      failures++;
    }
    sqlite3_finalize(statement);
    if (rest == sql) {
      // A syntax error: go on after the statement's end.
      const char *end = strchr(sql, ';');
      rest = end ? end + 1 : sql + strlen(sql);
    }
    sql = rest;
  }
  sqlite3_close(database);
  return failures ? 1 : 0;
}
