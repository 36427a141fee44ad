#!/bin/sh
# Notes how many incidents are over, and which was the last; needs nothing but a shell and sed.
over=0
while IFS= read -r line; do
  case $line in
  *'"is":"ended"'*)
    over=$((over + 1))
    id=$(printf '%s\n' "$line" | sed 's/.*"incident":"\([0-9a-f]*\)".*/\1/')
    printf '{"kind":"note","incident":"%s","text":"%d over; please write down what helped"}\n' "$id" "$over"
    ;;
  esac
done
