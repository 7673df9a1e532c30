<?php
echo "before\n";
throw new LogicException("no");
