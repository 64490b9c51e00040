"""Where in a kernel's source each rule was read: file and function, by release."""
