# A network for the fleets, in the place of the one that you have.

resource "aws_vpc" "judge" {
  cidr_block = "10.77.0.0/16"
}

resource "aws_subnet" "judge" {
  vpc_id     = aws_vpc.judge.id
  cidr_block = "10.77.1.0/24"
}
