"""Write sample files of the web shop: `python -m standalone.sample_data DIR`."""

from standalone.sample_data.generator import main

main()
