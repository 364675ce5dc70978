# Shortcuts for developers; users need only the two commands of README.md.

.PHONY: demo test ctest document format lint bench clean

demo:
	sh tools/demo.sh

test:
	sh tools/test.sh

ctest:
	sh tools/test.sh c

document:
	Rscript -e 'roxygen2::roxygenise(load_code = roxygen2::load_source)'

format:
	clang-format -i src/*.[ch] ctest/*.[ch]

lint:
	sh tools/test.sh lint

bench:
	Rscript bench/peers.R

clean:
	rm -f src/*.o src/*.so
	rm -rf library reports samepage_*.tar.gz samepage.Rcheck
