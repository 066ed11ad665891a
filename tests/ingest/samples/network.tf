terraform {
  required_version = ">= 1.6"
}

variable "region" {
  description = "Where everything runs, and the only region that the account may use."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = startswith(var.region, "eu-")
    error_message = "Customers' data stays in Europe; choose a region that begins with eu-."
  }
}

# The firewall of the web servers.
resource "aws_security_group" "web" {
  name        = "web"
  description = "HTTPS from anywhere, everything to the outside"
  vpc_id      = aws_vpc.main.id

  ingress {
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }

  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

locals {
  tags = { project = "shop", owner = "platform" }
}
